"""The rules that every implementation of the bus shares: which topics fit, who gets what, when it is settled."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.bus.contract import BusStats, Message
from edgemesh.bus.handlers import Handlers, check_pattern, fits

LEVELS = st.sampled_from(["", "a", "b", "A", "$x", "é"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)


@pytest.mark.parametrize(
    ("pattern", "topic", "wanted"),
    [
        ("#", "a/b", True),
        ("#", "/", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("+", "$SYS", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/+", "$SYS/x", True),
        ("a/#", "a", True),
        ("a/#", "ab", False),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("+/+", "/", True),
        ("/+", "/a", True),
        ("+", "/a", False),
        ("a/+/#", "a/b", True),
        ("a/$x/+", "a/$x/b", True),
        ("+/$x", "a/$x", True),
    ],
)
def test_topics_fit_as_mqtt_says(pattern: str, topic: str, wanted: bool) -> None:
    """The examples of the MQTT standard, section 4.7."""
    check_pattern(pattern)
    assert fits(pattern, topic) is wanted


@given(TOPICS)
def test_every_topic_fits_itself_and_its_wildcards(topic: str) -> None:
    """A topic fits itself, also with `+` for a level or `#` for the rest, but for a `$` at the front."""
    levels = topic.split("/")
    assert fits(topic, topic)
    for index in range(len(levels)):
        dollar = index == 0 and topic.startswith("$")
        assert fits("/".join([*levels[:index], "+", *levels[index + 1 :]]), topic) is not dollar
        assert fits("/".join([*levels[:index], "#"]), topic) is not dollar
    assert not fits(f"{topic}/more", topic)


def test_a_message_is_settled_when_its_last_handler_has_settled() -> None:
    """However often one handler settles, the others are waited for."""

    async def scenario() -> None:
        stats = BusStats()
        handlers = Handlers(stats)
        handlers.bind(asyncio.get_running_loop())
        messages: list[Message] = []
        other: list[Message] = []
        done: list[bool] = []
        handlers.add("a/+", messages.append)
        handlers.add("a/#", messages.append)
        handlers.add("#", other.append)
        handlers.hand_over("a/b", b"", False, "", lambda: done.append(True))
        messages[0].settle()
        messages[0].settle()
        assert not done
        other[0].settle()
        assert (len(messages) + len(other), done, stats.received, stats.extra["settled"]) == (2, [True], 1, 1.0)
        handlers.hand_over("b", b"", False, "", lambda: done.append(True))
        assert handlers.remove("#")
        handlers.hand_over("b", b"", False, "", lambda: done.append(True))
        assert (len(other), done, stats.received) == (2, [True, True], 2)

    asyncio.run(scenario())


def test_no_settle_from_a_thread_is_lost() -> None:
    """Many threads settle at once; each message is settled on the loop's thread, exactly once."""

    async def scenario() -> None:
        here = threading.get_ident()
        handlers = Handlers(BusStats())
        handlers.bind(asyncio.get_running_loop())
        messages: list[Message] = []
        done: list[int] = []
        handlers.add("t", messages.append)

        def settle(part: int) -> None:
            for message in messages[part::4]:
                message.settle()

        for round_ in range(1, 4):
            messages.clear()
            for _ in range(2000):
                handlers.hand_over("t", b"", False, "", lambda: done.append(threading.get_ident()))
            threads = [threading.Thread(target=settle, args=(part,)) for part in range(4)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert done == [here] * 2000 * round_

    asyncio.run(scenario())


def test_settling_after_the_loop_has_ended_is_harmless() -> None:
    """A worker thread that settles late, when nobody is left to be told, meets no error."""
    handlers = Handlers(BusStats())
    messages: list[Message] = []
    handlers.add("t", messages.append)

    async def scenario() -> None:
        handlers.bind(asyncio.get_running_loop())
        handlers.hand_over("t", b"", False, "", lambda: None)

    asyncio.run(scenario())
    problems: list[BaseException] = []

    def settle() -> None:
        try:
            messages[0].settle()
        except RuntimeError as problem:
            problems.append(problem)

    thread = threading.Thread(target=settle)
    thread.start()
    thread.join()
    assert not problems
