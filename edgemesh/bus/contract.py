"""The contract of the bus: one client's connection to one broker domain.

Four verbs (`subscribe`, `publish`, `open`, `close`) and one event (`on_link`). All callbacks run on the event loop that
called `open`, one after the other, and must return at once: they take a message over, they do not work on it.
The bus promises little on purpose: a message that was published may be lost or come twice, whatever its QoS. What must
not be lost lives in a log (edgemesh.log), which publishes again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


def _settled() -> None:
    """What settling means where nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it arrived. `settle()` tells the broker that it is dealt with; call it once, from any thread.

    `retained` is True when the broker kept the message for us: it may be old. `traceparent` is the W3C header of an
    MQTT 5 user property, or empty.
    """

    topic: str
    payload: bytes
    retained: bool = False
    settle: Callable[[], None] = _settled
    traceparent: str = ""


Handler = Callable[[Message], None]
LinkWatcher = Callable[[bool], None]


@dataclass(slots=True)
class BusStats:
    """Counters of one connection since it was opened; they only grow."""

    published: int = 0
    received: int = 0
    refused: int = 0  # publishes while there was no link, or with the window full
    connects: int = 0
    disconnects: int = 0
    handler_errors: int = 0
    last_error: str = ""
    extra: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when the client is gone without a word."""

    topic: str
    payload: bytes


class Bus(Protocol):
    """One client's connection to one broker domain."""

    @property
    def linked(self) -> bool:
        """True while the broker has accepted the connection and the subscriptions are sent."""
        ...

    @property
    def has_spare(self) -> bool:
        """Whether there is room for what nobody waits for: so little is under way that nothing would wait behind it."""
        ...

    @property
    def stats(self) -> BusStats:
        """The counters of this connection."""
        ...

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """Hand every message that fits the MQTT pattern (`+`, `#`) to the handler, now and after every reconnect.

        May be called before `open`. QoS 1 (or that of the broker's address); each message is given to every handler
        whose pattern fits it, and is settled once all of them have settled. An exception in a handler is counted and
        logged, and settles for that handler. Subscribing a pattern again with the same handler asks the broker for its
        retained messages again.
        """
        ...

    def unsubscribe(self, pattern: str) -> None:
        """Forget the pattern and its handlers; unknown patterns are ignored."""
        ...

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, traceparent: str = "", bulk: bool = False
    ) -> bool:
        """Hand the message to the connection (QoS as above) and return True, or False when there is no link or no room.

        Never blocks, never raises for the network's sake, never queues without bound. Of `bulk` only so much is taken
        over at a time that other messages need not wait behind it for long. False means: publish it again when
        `on_room` or `on_link(True)` comes. True is no promise of delivery.
        """
        ...

    def on_link(self, watcher: LinkWatcher) -> None:
        """Call the watcher with True after each (re)connect, once publishing works, and with False at each loss."""
        ...

    def on_room(self, watcher: Callable[[], None]) -> None:
        """Call the watcher when there is room again after a `publish` for which there was none."""
        ...

    async def open(self) -> None:
        """Start connecting and return; without a broker the bus keeps trying (50 ms to 1 s, with jitter)."""
        ...

    async def close(self) -> None:
        """Say good-bye (no Last Will), stop, and return when no callback can come any more."""
        ...
