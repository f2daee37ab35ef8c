"""Lines of the log: who speaks, in which form, and which of them are said."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.health.levels import Levels, name_of, number
from edgemesh.health.logs import TEXT, Form, JsonForm, LogOutput, Speakers

ROLES = {"gateway-1": "gateway", "detector-1": "detector", "recorder": "recorder"}


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


def make_output(level: str = "info", form: Form = "json") -> tuple[LogOutput, io.StringIO]:
    stream = io.StringIO()
    output = LogOutput(level, form, stream)
    output.speakers.know("hall-1", ROLES)
    return output, stream


def line(text: str, *args: object, level: int = logging.WARNING, name: str = "edgemesh.agents.x") -> logging.LogRecord:
    return logging.LogRecord(name, level, "file", 1, text, args, None)


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(each) for each in stream.getvalue().splitlines()]


def test_a_line_as_json() -> None:
    """Time, level, logger, site, agent and message; what is not known is left out."""
    output, stream = make_output()
    output.handle(line("%s: connection lost, trying again", "gateway-1"))
    (said,) = lines(stream)
    assert datetime.fromisoformat(said.pop("time")).utcoffset() is not None
    assert said == {
        "level": "warning",
        "logger": "edgemesh.agents.x",
        "site": "hall-1",
        "agent": "gateway-1",
        "message": "gateway-1: connection lost, trying again",
    }


def test_an_exception_is_one_field_and_a_trace_is_named() -> None:
    """A traceback makes no further lines; the trace that a line belongs to stands beside it."""
    output, stream = make_output()
    record = line("%s: failed", "recorder")
    record.trace_id, record.span_id = "4bf9", "00f0"
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record.exc_info = sys.exc_info()
    output.handle(record)
    (said,) = lines(stream)
    assert said["exception"].startswith("Traceback")
    assert said["exception"].endswith("ValueError: two\nlines")
    assert (said["trace_id"], said["span_id"]) == ("4bf9", "00f0")


@given(st.text(max_size=60), st.sampled_from([logging.INFO, logging.ERROR]))
def test_any_message_is_one_line_of_json(text: str, level: int) -> None:
    """Line ends, quotes and half surrogates included."""
    formed = JsonForm(Speakers()).format(line("said: %s", text, level=level))
    assert "\n" not in formed
    assert json.loads(formed)["message"] == f"said: {text}".encode("utf-8", "replace").decode()


def test_a_message_has_a_bound() -> None:
    """A line that would be huge is cut."""
    assert len(json.loads(JsonForm(Speakers()).format(line("x" * 3 * TEXT)))["message"]) == TEXT


@pytest.mark.parametrize(
    ("record", "agent"),
    [
        (line("%s: connected", "gateway-1"), "gateway-1"),
        (line("%s is linked", "edgemesh-hall-1-detector-1", name="edgemesh.bus.mqtt"), "detector-1"),
        (line("driver %s: gone; trying again", "gateway-1.replay-1"), "gateway-1"),
        (line("InfluxDB answers again after %.0f s", 3.0, name="edgemesh.store.influx.sender"), "recorder"),
        (line("%s: connected", "stranger"), ""),
        (line("stopping"), ""),
    ],
)
def test_who_speaks(record: logging.LogRecord, agent: str) -> None:
    """An agent, its client on the bus and its drivers are known by the first argument; the store is the recorder's."""
    output, _ = make_output()
    assert output.speakers.find(record) == agent


def test_who_speaks_in_a_thread_of_an_agent_or_alone() -> None:
    """A line of an agent's worker thread is its own; where there is one agent, every line is."""
    output, _ = make_output()
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(output.speakers.find(line("x"))), name="detector-1_0")
    thread.start()
    thread.join()
    output.speakers.know("hall-1", {"alone": "gateway"})
    assert [*found, output.speakers.find(line("stopping"))] == ["detector-1", "alone"]


def test_lines_for_people_stay_as_they_are() -> None:
    """Time of day, level and message."""
    output, stream = make_output(form="human")
    output.handle(line("%s: connected", "gateway-1", level=logging.INFO))
    assert stream.getvalue()[8:] == " INFO    gateway-1: connected\n"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_level_goes_back_by_itself() -> None:
    """What was set for a while is over after it, without anybody coming by; what was set for good stays."""
    clock = Clock()
    levels = Levels(number("info"), clock=clock)
    levels.set("a", number("debug"), 10.0)
    levels.set("b", number("error"))
    assert [name_of(levels.of(each)) for each in ("a", "b", "c")] == ["debug", "error", "info"]
    assert name_of(levels.least) == "debug"
    clock.now_s += 10.0
    assert [name_of(levels.of(each)) for each in ("a", "b", "c")] == ["info", "error", "info"]
    assert name_of(levels.least) == "info"
    levels.set("b", None)
    assert name_of(levels.of("b")) == "info"


def test_only_the_agent_that_was_asked_says_more() -> None:
    """Debug lines of one agent come, those of another do not; afterwards the logger is no busier than before."""
    output, stream = make_output()
    clock = Clock()
    output.levels = Levels(number("info"), clock=clock)
    logger = logging.getLogger("edgemesh.test_logs")
    logger.addHandler(output)
    try:
        output.put_level("gateway-1", "debug", 10.0)
        logger.debug("%s: more", "gateway-1")
        logger.debug("%s: more", "detector-1")
        assert [said["agent"] for said in lines(stream)] == ["gateway-1"]
        clock.now_s += 10.0
        logger.debug("%s: more", "gateway-1")
        assert len(lines(stream)) == 1
        assert logging.getLogger().level == logging.INFO
        output.put_level("detector-1", "error")
        logger.warning("%s: less", "detector-1")
        logger.warning("%s: as ever", "gateway-1")
        assert lines(stream)[-1]["agent"] == "gateway-1"
    finally:
        logger.removeHandler(output)
