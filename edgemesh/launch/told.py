"""Having the recorder hear what agents tell beside their logs."""

from __future__ import annotations

from edgemesh.bus.contract import Message
from edgemesh.errors import Rejected
from edgemesh.health.commands import Obedient
from edgemesh.store.influx.told import Told
from edgemesh.wire import codec
from edgemesh.wire.topics import Kind, Topics, parse


def hear_told(recorder: Obedient, topics: Topics, told: Told) -> None:
    """From now on; what breaks the rules is refused, and kept in the recorder's quarantine."""

    def hear(message: Message) -> None:
        try:
            address = parse(message.topic)
            decode = codec.decode_scores if address.kind is Kind.SCORES else codec.decode_lines
            told.take_in(decode(message.payload, agent=address.name))
        except Rejected as rejected:
            recorder.refuse(rejected.reason, message.topic, message.payload, rejected.detail)
        message.settle()

    recorder.bus.subscribe(topics.scores("+"), hear)
    recorder.bus.subscribe(topics.lines("+"), hear)
