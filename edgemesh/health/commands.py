"""Obeying commands that come over the bus."""

from __future__ import annotations

from typing import Protocol

from edgemesh.bus.contract import Bus, Message
from edgemesh.errors import Rejected
from edgemesh.health.levels import name_of
from edgemesh.health.logs import LogOutput
from edgemesh.model.commands import Reply
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics


class Obedient(Protocol):
    """What an agent lends to whoever obeys for it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def bus(self) -> Bus:
        """Its connection."""
        ...

    def refuse(self, reason: str, origin: str, payload: bytes, detail: str = "") -> None:
        """Keep input that breaks the rules in the quarantine."""
        ...


def obey(agent: Obedient, topics: Topics, output: LogOutput) -> None:
    """Take the commands about logs to this agent from now on, and say on its `reply` topic what came of them.

    A command that the broker has kept is none: it would come at every connect. The same command twice is once.
    """

    def hear(message: Message) -> None:
        try:
            if not message.retained and message.payload:
                command = codec.decode_command(message.payload)
                if command.log_level is not None:
                    output.put_level(agent.name, command.log_level.value, command.for_s)
                    text = f"{agent.name} logs {_what(output, agent.name, command.for_s)}"
                    reply = Reply(id=command.id, agent=agent.name, done=True, text=text)
                    agent.bus.publish(topics.reply(agent.name), codec.encode(reply))
        except Rejected as rejected:
            agent.refuse(rejected.reason, message.topic, message.payload, rejected.detail)
        message.settle()

    agent.bus.subscribe(topics.command(agent.name), hear)


def _what(output: LogOutput, agent: str, for_s: float) -> str:
    levels = output.levels
    name = name_of(levels.of(agent))
    if levels.of(agent) == levels.usual:
        return f"what is at least {name}, as usual"
    return f"what is at least {name} {f'for {for_s:.0f} s' if for_s else 'until it is started again'}"
