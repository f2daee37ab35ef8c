"""What agents tell beside their logs: bounded, lost where nobody hears it, and in nobody's way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from edgemesh.bus.contract import Message
from edgemesh.bus.memory import MemoryBroker
from edgemesh.health import lines as module
from edgemesh.health.lines import LineKeeper
from edgemesh.health.logs import Speakers
from edgemesh.health.teller import MESSAGE_LINES, Teller
from edgemesh.launch.told import hear_told
from edgemesh.model.told import MOST_BODY, MOST_LINES, MOST_SCORES, LineLevel, Score
from edgemesh.store.influx.told import Told
from edgemesh.testing import START_NS
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

TOPICS = Topics("hall-1")
Until = Callable[..., Awaitable[None]]


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def make_keeper() -> tuple[LineKeeper, Clock]:
    speakers, clock = Speakers(), Clock()
    speakers.know("hall-1", {"gw": "gateway", "det": "detector"})
    return LineKeeper(speakers, clock=clock), clock


def record(text: str, *args: object, level: int = logging.WARNING, created: float = 1.0) -> logging.LogRecord:
    made = logging.LogRecord("edgemesh.x", level, "file", 1, text, args, None)
    made.created = created
    return made


def test_warnings_of_agents_are_kept() -> None:
    """Warnings and worse, by agent, with rising times; what is less, or nobody's, is not."""
    keeper, _ = make_keeper()
    logger = logging.Logger("edgemesh.x")
    logger.addHandler(keeper)
    logger.info("%s: fine", "gw")
    logger.warning("stopping")
    for level in (logging.WARNING, logging.ERROR, logging.CRITICAL):
        keeper.handle(record("%s: hot", "gw", level=level))
    told = keeper.take("gw")
    assert told is not None
    assert [line.level for line in told.lines] == [LineLevel.WARNING, LineLevel.ERROR, LineLevel.CRITICAL]
    assert [line.at_ns for line in told.lines] == [10**9, 10**9 + 1, 10**9 + 2]
    assert {line.body for line in told.lines} == {"gw: hot"}
    assert keeper.take("gw") is keeper.take("det") is None


def test_a_flood_is_bounded_and_counted() -> None:
    """Of one agent so many a minute and so many altogether; another's lines have their own room."""
    keeper, clock = make_keeper()
    for _ in range(module.PER_MINUTE + 5):
        keeper.handle(record("%s: again", "gw"))
    keeper.handle(record("%s: once", "det"))
    clock.now_s += 60.0
    for _ in range(MOST_LINES):
        keeper.handle(record("%s: and again", "gw"))
    told, other = keeper.take("gw"), keeper.take("det")
    assert told is not None
    assert other is not None
    assert (len(told.lines), told.left_out) == (MOST_LINES, 5 + module.PER_MINUTE)
    assert len(other.lines) == 1


def test_what_could_not_be_told_is_told_next() -> None:
    """In the order in which it came; where newer lines have taken its room it is counted."""
    keeper, clock = make_keeper()
    for number in range(5):
        keeper.handle(record("%s: %s", "gw", number))
    some = keeper.take("gw", 3)
    assert some is not None
    keeper.put_back(some)
    again = keeper.take("gw")
    assert again is not None
    assert [line.body for line in again.lines] == [f"gw: {number}" for number in range(5)]
    for _ in range(2):
        clock.now_s += 60.0
        for _ in range(module.PER_MINUTE):
            keeper.handle(record("%s: more", "gw"))
    left_out = 2 * module.PER_MINUTE - MOST_LINES
    keeper.put_back(again)
    full = keeper.take("gw")
    assert full is not None
    assert (len(full.lines), full.left_out) == (MOST_LINES, left_out + 5)


def test_what_is_huge_fits_the_wire() -> None:
    """A line, its traceback and its ids are cut to what the record allows, and half surrogates do not pass."""
    keeper, _ = make_keeper()
    made = record("%s: %s\ud800", "gw", "x" * 3 * MOST_BODY)
    made.trace_id, made.span_id = "f" * 99, "e" * 99
    try:
        raise ValueError("y" * 9 * MOST_BODY)
    except ValueError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    keeper.handle(made)
    told = keeper.take("gw")
    assert told is not None
    assert codec.decode_lines(codec.encode(told), agent="gw") == told


class Agent:
    """A name, a connection, what waits to be told, and what was refused."""

    def __init__(self, broker: MemoryBroker, name: str) -> None:
        self.name, self.bus = name, broker.client(name)
        self.asides: deque[Score] = deque()
        self.refused: list[str] = []

    def refuse(self, reason: str, origin: str, payload: bytes, detail: str = "") -> None:
        self.refused.append(reason)


def score(number: int) -> Score:
    return Score(asset="pump", gateway="gw", at_ns=START_NS + number * 10**10, score=0.5)


def test_what_is_told_comes_to_the_recorder(until: Until) -> None:
    """Scores and lines become points; what breaks the rules is refused; without a link everything waits."""

    async def body() -> None:
        broker = MemoryBroker()
        detector, recorder, told = Agent(broker, "det"), Agent(broker, "rec"), Told("hall-1")
        hear_told(recorder, TOPICS, told)
        await recorder.bus.open()
        keeper, _ = make_keeper()
        teller = Teller(TOPICS, [detector], every_s=10.0)
        teller.keeper = keeper
        detector.asides.extend(score(n) for n in range(MOST_SCORES + 1))
        keeper.handle(record("%s: hot", "det"))
        teller.tell()
        assert len(detector.asides) == MOST_SCORES + 1
        await detector.bus.open()
        await until(lambda: detector.bus.linked and recorder.bus.linked)
        teller.tell()
        assert not detector.asides
        await until(lambda: len(told.waiting) == MOST_SCORES + 2)
        heard = told.give()
        assert not told.waiting
        assert {each.measurement for each in heard} == {"score", "logs"}
        assert heard[0].text == f'score,asset=pump,gateway=gw,site=hall-1 score=0.5,method="model" {START_NS}'
        detector.bus.publish(TOPICS.scores("det"), b"{}")
        detector.bus.publish(TOPICS.lines("other"), b'{"v":1,"agent":"det"}')
        await until(lambda: recorder.refused == ["wrong_shape", "id_mismatch"])

    asyncio.run(body())


def test_no_room_on_the_bus_loses_nothing(until: Until) -> None:
    """What the connection does not take is told at the next time, in messages that hold up nobody for long."""

    async def body() -> None:
        broker = MemoryBroker()
        detector, heard = Agent(broker, "det"), list[Message]()
        await detector.bus.open()
        other = broker.client("other")
        other.subscribe(TOPICS.scores("+"), heard.append)
        lines = list[Message]()
        other.subscribe(TOPICS.lines("+"), lines.append)
        await other.open()
        await until(lambda: detector.bus.linked and other.linked)
        teller = Teller(TOPICS, [detector], every_s=10.0)
        detector.asides.append(score(0))
        teller.keeper, _ = make_keeper()
        for number in range(MESSAGE_LINES + 1):
            teller.keeper.handle(record("%s: %s", "det", number))
        publish, detector.bus.publish = detector.bus.publish, lambda *args, **kwargs: False  # type: ignore[method-assign]
        teller.tell()
        assert len(detector.asides) == 1
        detector.bus.publish = publish  # type: ignore[method-assign]
        teller.tell()
        await until(lambda: heard)
        assert codec.decode_scores(heard[0].payload, agent="det").scores == (score(0),)
        await until(lambda: len(lines) == 2)
        assert [len(codec.decode_lines(each.payload, agent="det").lines) for each in lines] == [MESSAGE_LINES, 1]

    asyncio.run(body())
