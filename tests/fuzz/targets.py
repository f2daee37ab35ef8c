"""What is fuzzed: one function per decoder or consumer, from any bytes to nothing.

A target returns for all bytes that its code may take or refuse: it catches the errors which that code documents, and
lets out every other one, which is a finding.
"""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from edgemesh.agents.core import Core
from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.registry import RegistryCore
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.bus.contract import Message
from edgemesh.bus.handlers import fits
from edgemesh.configuration.reader import convert, read_toml
from edgemesh.configuration.settings import PlantSettings
from edgemesh.console.overview import Overview
from edgemesh.detect.models.files import read_model, unpack_model
from edgemesh.detect.models.forest import Forest, Trees
from edgemesh.detect.settings import (
    DetectSettings,
    DeviationRule,
    LimitRule,
    RangeRule,
    RateRule,
    SilentRule,
    StuckRule,
)
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.drivers import mqtt_json
from edgemesh.drivers.alertmanager.payload import read as read_alertmanager
from edgemesh.drivers.mqtt_json.driver import MqttJson
from edgemesh.errors import ConfigError, LogError, Rejected
from edgemesh.launch.tap import describe
from edgemesh.log.journal import Journal
from edgemesh.log.quarantine import Quarantined
from edgemesh.model.packs import Answers, Cards, Pack
from edgemesh.model.samples import MAX_METRICS, Sample
from edgemesh.model.settings import Seconds
from edgemesh.store.history import HistorySink
from edgemesh.testing import START_NS, make_alert, make_card
from edgemesh.wire import codec, topics
from edgemesh.wire.place import read_place
from firmware_sim import listing
from firmware_sim.memory import Memory

Target = Callable[[bytes], None]
BASE = "edgemesh/v1/site/"
NAME, IDENTITY = "zed", "0123456789abcdef" * 2
KINDS = ("readings", "alerts", "orders")


def _decoder(decode: Callable[[bytes], object]) -> Target:
    def target(data: bytes) -> None:
        with suppress(Rejected):
            decode(data)

    return target


def _place(data: bytes) -> None:
    """Reading a place never raises, and says of a sound pack what the pack says."""
    place = read_place(data, agent=NAME)
    with suppress(Rejected):
        pack = codec.decode_pack(data, kind="readings", agent=NAME)
        assert place is None or (place.epoch, place.seq, place.lowest) == (pack.epoch, pack.seq, pack.lowest)


def _round_trip(kind: str, data: bytes) -> None:
    """A pack that is taken comes out the same when it is encoded and decoded again."""
    with suppress(Rejected):
        pack = codec.decode_pack(data, kind=kind, agent=NAME)
        assert codec.decode_pack(codec.encode(pack), kind=kind, agent=NAME) == pack


def _offer(data: bytes) -> None:
    """What is in an offer is looked at as closely as the offer itself."""
    with suppress(Rejected, ValueError):
        read_model(unpack_model(codec.decode_offer(data, asset=NAME).content))


# -- devices and files -------------------------------------------------------------------------------------------------


class _Gateway:
    """An inlet that keeps nothing; what it is given must be sound."""

    def put(self, samples: list[Sample], settle: object = None) -> None:
        """Not used: the target asks the driver for its sample."""

    def reject(self, reason: str, origin: str, payload: bytes, detail: str = "") -> None:
        assert reason
        assert len(detail) < 500

    def now_ns(self) -> int:
        return START_NS


_TABLE: dict[str, Any] = {
    "topic": "hall/{device}/telemetry",
    "device_field": "id",
    "time": "ts",
    "assets": {"motor-*": "pump-*"},
    "metrics": {"a": "a", "b": {"path": "b.c[0]", "scale": 2.0}, "on": {"path": "on", "kind": "bool"}},
}
_DRIVERS = (
    mqtt_json.create(msgspec.convert({"topic": "hall/{device}/#"}, mqtt_json.Settings)),
    mqtt_json.create(msgspec.convert(_TABLE, mqtt_json.Settings)),
)


def _device(data: bytes) -> None:
    """Topic, a line end, and a device's JSON; what comes of it is a sound sample, or refused."""
    topic, _, payload = data.partition(b"\n")
    heard = topic.decode("utf-8", "replace")
    for driver in _DRIVERS:
        assert isinstance(driver, MqttJson)
        if not fits(driver._topic.subscription, heard):
            continue
        with suppress(Rejected):
            sample = driver._sample(heard, payload, _Gateway())  # type: ignore[arg-type]
            assert len(sample.values) == len(sample.source.metrics) <= MAX_METRICS
            assert all(value is None or abs(value) < float("inf") for value in sample.values)
            assert 0 <= sample.at_ns < 2**63


@functools.cache
def _scratch() -> Path:
    """A folder for this process, gone at its end."""
    folder = tempfile.TemporaryDirectory(prefix="edgemesh-fuzz-")
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def _configuration(data: bytes) -> None:
    file = _scratch() / "fuzz.toml"
    file.write_bytes(data)
    with suppress(ConfigError):
        convert(read_toml(file, {"HOME": "/root"}), PlantSettings, file=str(file))


def _forest(data: bytes) -> None:
    import numpy as np

    with suppress(msgspec.DecodeError, ValueError):
        forest = Forest(msgspec.json.decode(data, type=Trees))
        scores = forest.score(np.zeros((2, forest.trees.features)))
        assert scores.shape == (2,)


@functools.cache
def _journal_bytes() -> bytes:
    file = _scratch() / "base.db"
    with Journal.open(file, "agent").begin() as transaction:
        for number in range(5):
            transaction.append("readings", b"[%d]" % number, at_ns=number)
        transaction.keep(Quarantined(1, "topic", "not_json", "cut off", b"{"))
    journal = Journal.open(file, "agent")
    journal.close()
    return file.read_bytes()


def _journal(data: bytes) -> None:
    """Three bytes each: where in the file of a journal (of 64 KiB at most) which byte stands."""
    content = bytearray(_journal_bytes())
    for start in range(0, min(len(data), 300) - 2, 3):
        content[int.from_bytes(data[start : start + 2], "big") % len(content)] = data[start + 2]
    file = _scratch() / "fuzz.db"
    for beside in _scratch().glob("fuzz.db*"):
        beside.unlink()
    file.write_bytes(content)
    for use in (_peek, _write):
        with suppress(LogError):
            use(file)


def _peek(file: Path) -> None:
    _read(Journal.peek(file))


def _write(file: Path) -> None:
    journal = Journal.open(file, "agent")
    try:
        with journal.begin() as transaction:
            transaction.append("readings", b"[]", at_ns=9)
    finally:
        _read(journal)


def _read(journal: Journal) -> None:
    try:
        for read in (
            lambda: journal.rows(0, limit=100, max_bytes=10**6),
            lambda: journal.quarantine(limit=9),
            journal.rejections,
            journal.cursors,
            journal.parts,
            lambda: journal.past("agent"),
        ):
            with suppress(LogError):
                read()
    finally:
        journal.close()


# -- consumers ---------------------------------------------------------------------------------------------------------


_RULES = (
    LimitRule(name="level", metric="flow", above=90.0, clear=80.0),
    LimitRule(name="held", metric="flow", below=10.0, hold=Seconds(1.0), gate="running"),
    RateRule(name="rate", metric="flow", above=5.0, per=Seconds(1.0), over=Seconds(4.0)),
    DeviationRule(name="off", metric="flow", away=5.0, learn=Seconds(3.0), votes="2 of 3", when="Thu-Mon 00:00-23:00"),
    RangeRule(name="range", metric="flow", low=-50.0, high=150.0, ne43=True),
    StuckRule(name="stuck", metric="flow", samples=3),
    SilentRule(name="silent", after=Seconds(5.0)),
)


def _detector() -> Core:
    return DetectorCore("detector", "site", DetectSettings(rule=_RULES), {})


def _scheduler() -> Core:
    core = SchedulerCore("scheduler", "site", DispatchSettings(), {})
    core.tick(START_NS)
    core.handle(Cards((make_card(NAME),)))
    return core


def _digest(make_core: Callable[[], Core], pack: Pack | Answers | Cards) -> None:
    """A core takes whatever is lawful: it raises nothing, and what it says and saves can be written and read again."""
    core = make_core()
    for records in (core.handle(pack), core.tick(START_NS + 10**9), core.tick(START_NS + 10**11)):
        for kind in ("alerts", "orders"):
            if records and type(records[0]).__name__ == {"alerts": "Alert", "orders": "WorkOrder"}[kind]:
                codec.decode_body(kind, codec.encode_records(records))
        for record in core.present(records).values():
            assert record is None or codec.encode(record)
    again = make_core()
    again.load({name: part for name, part in core.save().items() if part is not None})
    again.tick(START_NS + 10**11)


def _core_readings(data: bytes) -> None:
    with suppress(Rejected):
        _digest(_detector, codec.decode_pack(data, kind="readings", agent=NAME))


def _core_alerts(data: bytes) -> None:
    with suppress(Rejected):
        _digest(_scheduler, codec.decode_pack(data, kind="alerts", agent=NAME))


def _core_answers(data: bytes) -> None:
    with suppress(Rejected):
        said = codec.decode_answer(data, executor=NAME)

        def busy() -> Core:
            core = _scheduler()
            from edgemesh.testing import make_pack

            (order, *_) = core.handle(make_pack([make_alert()], agent="detector"))
            answer = msgspec.structs.replace(said, order=order.id)  # type: ignore[attr-defined]
            core.handle(Answers((answer,)))
            return core

        _digest(busy, Answers((said,)))


def _core_cards(data: bytes) -> None:
    with suppress(Rejected):
        card = codec.decode_card(data, agent=NAME)
        _digest(_scheduler, Cards((card,)))
        _digest(lambda: RegistryCore("registry", "site"), Cards((card,)))


def _core_owned(data: bytes) -> None:
    """A detector that is given an alert to go on with."""
    with suppress(Rejected):
        alert = codec.decode_alert(data, id=IDENTITY)
        core = _detector()
        assert isinstance(core, DetectorCore)
        core.tick(START_NS)
        core.adopt(alert.gateway, [alert])
        core.tick(START_NS + 10**9)
        core.meet(alert)
        for left in core.release(alert.gateway):
            codec.decode_alert(codec.encode(left), id=left.id)


@functools.cache
def _history() -> tuple[sqlite3.Connection, HistorySink]:
    connection, sink = sqlite3.connect(":memory:", isolation_level=None), HistorySink()
    sink.prepare(connection)
    return connection, sink


def _recorder(kind: str, data: bytes) -> None:
    with suppress(Rejected):
        pack = codec.decode_pack(data, kind=kind, agent=NAME)
        connection, sink = _history()
        connection.execute("BEGIN")
        try:
            sink.write(connection, [pack, pack])
        finally:
            connection.execute("ROLLBACK")


_SHOWN = ("log/readings/zed", "log/alerts/zed", "log/orders/zed", "agent/zed", "owners", f"state/alert/{IDENTITY}")


def _overview(data: bytes) -> None:
    overview = Overview("site")
    overview.link(True, 0.0)
    for tail in (*_SHOWN, f"state/order/{IDENTITY}"):
        overview.take(BASE + tail, data, False, 1.0, START_NS)
        line = describe(Message(BASE + tail, data))
        assert line.isprintable()
    msgspec.json.encode(overview.snapshot(2.0, START_NS))


def _crew(data: bytes) -> None:
    with suppress(listing.ListingError):
        listing.decode(data, NAME)
    with suppress(ValueError):
        Memory.from_json(data.decode())


TARGETS: Mapping[str, Target] = {
    **{f"pack_{kind}": functools.partial(_round_trip, kind) for kind in KINDS},
    **{f"body_{kind}": _decoder(functools.partial(codec.decode_body, kind)) for kind in KINDS},
    "place": _place,
    "card": _decoder(lambda data: codec.decode_card(data, agent=NAME)),
    "watermark": _decoder(codec.decode_watermark),
    "owners": _decoder(codec.decode_owners),
    "answer": _decoder(lambda data: codec.decode_answer(data, executor=NAME)),
    "dispatch": _decoder(lambda data: codec.decode_dispatch(data, executor=NAME)),
    "alert": _decoder(lambda data: codec.decode_alert(data, id=IDENTITY)),
    "order": _decoder(lambda data: codec.decode_order(data, id=IDENTITY)),
    "offer": _offer,
    "model_state": _decoder(lambda data: codec.decode_model_state(data, asset=NAME)),
    "verdicts": _decoder(lambda data: codec.decode_verdicts(data, asset=NAME)),
    "spans": _decoder(lambda data: codec.decode_spans(data, agent=NAME)),
    "scores": _decoder(lambda data: codec.decode_scores(data, agent=NAME)),
    "lines": _decoder(lambda data: codec.decode_lines(data, agent=NAME)),
    "command": _decoder(codec.decode_command),
    "reply": _decoder(lambda data: codec.decode_reply(data, agent=NAME)),
    "json": _decoder(codec.decode_json),
    "topic": _decoder(lambda data: topics.parse(data.decode("utf-8", "replace"))),
    "device": _device,
    "alertmanager": _decoder(lambda data: read_alertmanager(data, asset_label="asset", asset="")),
    "configuration": _configuration,
    "forest": _forest,
    "journal": _journal,
    "core_readings": _core_readings,
    "core_alerts": _core_alerts,
    "core_answers": _core_answers,
    "core_cards": _core_cards,
    "core_owned": _core_owned,
    **{f"history_{kind}": functools.partial(_recorder, kind) for kind in KINDS},
    "overview": _overview,
    "crew": _crew,
}
"""By name; `corpus/{name}/` holds the inputs that are kept."""
