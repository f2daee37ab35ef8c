"""Which handlers a message is for, and when it is settled: the rules that every implementation of the bus shares."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable

from edgemesh.bus.contract import BusStats, Handler, LinkWatcher, Message

log = logging.getLogger(__name__)

_TOPIC_BYTES = 65_535
_REMEMBERED_TOPICS = 4096


def check_topic(topic: str) -> None:
    """Raise ValueError when MQTT allows no message on this topic: empty, too long, `+`, `#`, NUL or broken Unicode."""
    if not topic or "+" in topic or "#" in topic or "\0" in topic or len(topic.encode()) > _TOPIC_BYTES:
        raise ValueError(f"no message can be published on the topic {topic[:80]!r}")


def check_pattern(pattern: str) -> None:
    """Raise ValueError when it is not an MQTT pattern: `+` stands for one whole level, `#` for all that follow."""
    levels = pattern.split("/")
    stray_plus = any("+" in level and level != "+" for level in levels)
    stray_hash = "#" in "/".join(levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#")
    if not pattern or stray_plus or stray_hash or "\0" in pattern or len(pattern.encode()) > _TOPIC_BYTES:
        raise ValueError(f"not an MQTT pattern: {pattern[:80]!r}")


def fits(pattern: str, topic: str) -> bool:
    """Say whether the topic fits the pattern; topics that start with `$` never fit a leading wildcard."""
    if topic.startswith("$") and pattern.startswith(("+", "#")):
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


class _Receipt:
    """Settles a message once its last share is settled. Used on the event loop only."""

    __slots__ = ("_done", "_left", "_stats")

    def __init__(self, stats: BusStats, shares: int, done: Callable[[], None]) -> None:
        self._stats, self._left, self._done = stats, shares, done

    def tick_off(self) -> None:
        """Note that one more handler has settled."""
        self._left -= 1
        if self._left == 0:
            self._stats.extra["settled"] += 1
            self._done()


class _Share:
    """One handler's part in the settling of a message; a second `settle` does nothing."""

    __slots__ = ("_handlers", "_receipt")

    def __init__(self, handlers: Handlers, receipt: _Receipt) -> None:
        self._handlers = handlers
        self._receipt: _Receipt | None = receipt

    def settle(self) -> None:
        """Settle for this handler, from any thread."""
        receipt, self._receipt = self._receipt, None
        if receipt is not None:
            self._handlers.settle(receipt)


class Handlers:
    """The patterns of one connection with their handlers, and its link watchers.

    `stats.extra["settled"]` counts the messages that all their handlers have settled.
    """

    def __init__(self, stats: BusStats) -> None:
        self._stats = stats
        self._patterns: dict[str, list[Handler]] = {}
        self._watchers: list[LinkWatcher] = []
        self._fitting: dict[str, tuple[Handler, ...]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._from_threads: deque[_Receipt] = deque()
        self._hop_scheduled = False
        stats.extra["settled"] = 0.0

    @property
    def patterns(self) -> list[str]:
        """All patterns, in the order of their first subscription."""
        return list(self._patterns)

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the running event loop on which everything is handed over and settled."""
        self._loop, self._thread = loop, threading.get_ident()

    def add(self, pattern: str, handler: Handler) -> None:
        """Add a handler; the same one twice is once. Raises ValueError for what is not a pattern."""
        check_pattern(pattern)
        handlers = self._patterns.setdefault(pattern, [])
        if handler not in handlers:
            handlers.append(handler)
        self._fitting.clear()

    def remove(self, pattern: str) -> bool:
        """Forget a pattern; True if it was known."""
        self._fitting.clear()
        return self._patterns.pop(pattern, None) is not None

    def watch(self, watcher: LinkWatcher) -> None:
        """Add a link watcher."""
        self._watchers.append(watcher)

    def tell_watchers(self, linked: bool) -> None:
        """Call every watcher; an exception in one is counted and logged."""
        for watcher in list(self._watchers):
            try:
                watcher(linked)
            except Exception as problem:
                log.exception("a link watcher failed")
                self._count_error("a link watcher", problem)

    def hand_over(self, topic: str, payload: bytes, retained: bool, traceparent: str, done: Callable[[], None]) -> None:
        """Give the message to each handler once; `done` is called on the loop when the last of them has settled."""
        handlers = self.fitting(topic)
        if not handlers:
            done()
            return
        self._stats.received += 1
        receipt = _Receipt(self._stats, len(handlers), done)
        for handler in handlers:
            share = _Share(self, receipt)
            try:
                handler(Message(topic, payload, retained, share.settle, traceparent))
            except Exception as problem:
                log.exception("a handler of %s failed", topic)
                self._count_error(f"a handler of {topic}", problem)
                share.settle()

    def fitting(self, topic: str) -> tuple[Handler, ...]:
        """The handlers whose patterns fit the topic, each once."""
        return self._fitting[topic] if topic in self._fitting else self._find(topic)

    def settle(self, receipt: _Receipt) -> None:
        """Tick the receipt off: at once on the loop's own thread, else as soon as the loop gets to it."""
        if threading.get_ident() == self._thread:
            receipt.tick_off()
            return
        self._from_threads.append(receipt)
        if self._hop_scheduled or self._loop is None:
            return
        self._hop_scheduled = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._tick_off_waiting)

    def _tick_off_waiting(self) -> None:
        # Cleared before the queue is emptied: a thread that appends from here on schedules the next hop.
        self._hop_scheduled = False
        while self._from_threads:
            self._from_threads.popleft().tick_off()

    def _find(self, topic: str) -> tuple[Handler, ...]:
        found: list[Handler] = []
        for pattern, handlers in self._patterns.items():
            if fits(pattern, topic):
                found.extend(handler for handler in handlers if handler not in found)
        if len(self._fitting) >= _REMEMBERED_TOPICS:
            self._fitting.clear()
        self._fitting[topic] = tuple(found)
        return self._fitting[topic]

    def _count_error(self, where: str, problem: Exception) -> None:
        self._stats.handler_errors += 1
        self._stats.last_error = f"{where} failed: {type(problem).__name__}: {problem}"
