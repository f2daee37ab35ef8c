"""The guards that the promises rest on, each with a way to leave it off: a proof that can't fail proves nothing.

Production code has no switches. A guard is left off by patching it in one process, before the program in it starts
(`edgemesh.prove.broken`). To add one: write what it guards and a function that patches it, and put it in the table.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from edgemesh.errors import InputError

AGENT = "edgemesh"
FIRMWARE = "firmware_sim"
LATE_S = 0.4
"""With `commit` off, a commit comes so much later than what rests on it."""


@dataclass(frozen=True, slots=True)
class Guard:
    """`what` holds with it; `patch` leaves it off in a process that runs the module `where`."""

    what: str
    patch: Callable[[], None]
    where: str = AGENT


def swap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` makes of it in the place of an attribute. AttributeError: production code has it no more."""
    setattr(owner, name, make(getattr(owner, name)))


def refuse_unknown(names: Sequence[str]) -> None:
    """InputError for a guard that there is not, with the list of those that there are."""
    for name in names:
        if name not in GUARDS:
            raise InputError(f"no guard is called {name!r}", source="--without", wish=f"one of {', '.join(GUARDS)}")


def listing() -> list[str]:
    """All guards, a line each."""
    return [f"{name:<20} {guard.what}" for name, guard in GUARDS.items()]


def leave_off(name: str, module: str) -> None:
    """Leave a guard off in this process; where the program is not of its kind nothing happens. InputError: unknown."""
    refuse_unknown([name])
    if GUARDS[name].where == module:
        GUARDS[name].patch()


# -- the clock ---------------------------------------------------------------------------------------------------------


def _clock() -> None:
    from edgemesh.agents.clock import SystemClock

    def make_now(_: Any) -> Any:
        def now_ns(self: Any) -> int:
            self.latest = max(getattr(self, "latest", 0), time.time_ns())
            return int(self.latest)

        return now_ns

    swap(SystemClock, "now_ns", make_now)
    swap(SystemClock, "check", lambda _: lambda self: None)
    swap(SystemClock, "_is_sound", lambda _: lambda self, wall_ns: True)


# -- the log -----------------------------------------------------------------------------------------------------------


def _watermark() -> None:
    from edgemesh.log.feeder import Feeder
    from edgemesh.wire import codec

    def make_published(original: Any) -> Any:
        def published(self: Any, seq: int) -> None:
            original(self, seq)
            for group in self._groups.values():
                group.watermark = group.position = max(group.position, seq)

        return published

    def make_encode(original: Any) -> Any:
        def encode_pack(kind: str, **fields: Any) -> bytes:
            packed: bytes = original(kind, **(fields | {"lowest": fields["seq"]}))
            return packed

        return encode_pack

    swap(Feeder, "published", make_published)
    swap(codec, "encode_pack", make_encode)
    _resend()


def _resend() -> None:
    from edgemesh.log.feeder import Feeder

    swap(Feeder, "ask", lambda _: lambda self, group, epoch, through, now_s, ahead=(): None)
    swap(Feeder, "tick", lambda _: lambda self, now_s: None)


def _window() -> None:
    from edgemesh.log.feeder import Feeder

    def make_init(original: Any) -> Any:
        def init(self: Any, *arguments: Any, **named: Any) -> None:
            original(self, *arguments, **(named | {"window": 2**40}))

        return init

    swap(Feeder, "__init__", make_init)


def _judging(change: Callable[[Any, Any, str, int], Any]) -> None:
    """Have every verdict on a pack changed by `change(follower, verdict, epoch, seq)`."""
    from edgemesh.log.follower import Follower

    def make_receive(original: Any) -> Any:
        def receive(self: Any, epoch: str, seq: int, lowest: int, live: int = 0) -> Any:
            return change(self, original(self, epoch, seq, lowest, live), epoch, seq)

        return receive

    swap(Follower, "receive", make_receive)


def _cursor() -> None:
    _judging(lambda follower, verdict, epoch, seq: replace(verdict, take=not verdict.ask))


def _gap() -> None:
    from edgemesh.log.outbox import Cursor

    def over(follower: Any, verdict: Any, epoch: str, seq: int) -> Any:
        if verdict.ask:
            follower.restart_from(Cursor(epoch, seq))
        return replace(verdict, take=verdict.take or verdict.ask, ask=False)

    _judging(over)


def _epoch() -> None:
    from edgemesh.log.follower import Follower

    def make_receive(original: Any) -> Any:
        def receive(self: Any, epoch: str, seq: int, lowest: int, live: int = 0) -> Any:
            return original(self, self.position.epoch if self.position else epoch, seq, lowest, live)

        return receive

    swap(Follower, "receive", make_receive)


# -- the disk ----------------------------------------------------------------------------------------------------------


def _transaction() -> None:
    from edgemesh.agents.engine import Engine

    def make_write(original: Any) -> Any:
        def write(self: Any, transaction: Any, step: Any, parts: Any) -> None:
            self._place(transaction, step, parts)
            transaction.connection.execute("COMMIT")
            transaction.connection.execute("BEGIN IMMEDIATE")
            self._place = lambda *_: None
            try:
                original(self, transaction, step, parts)
            finally:
                del self._place

        return write

    swap(Engine, "_write", make_write)


def _commit() -> None:
    from edgemesh.log.disk import renaming
    from edgemesh.log.journal import Journal
    from edgemesh.log.transaction import Transaction

    @contextmanager
    def begin(self: Any) -> Iterator[Transaction]:
        with renaming(str(self.path)):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
                self.began_s = time.monotonic()
            transaction = Transaction(self._connection, self._head)
            try:
                yield transaction
            finally:
                transaction.end()
            self._head = transaction.head
            if time.monotonic() - self.began_s > LATE_S:
                self._connection.execute("COMMIT")

    def make_close(original: Any) -> Any:
        def close(self: Any) -> None:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            original(self)

        return close

    swap(Journal, "begin", lambda _: begin)
    swap(Journal, "close", make_close)


def _checkpoint() -> None:
    from edgemesh.log.transaction import Transaction

    swap(Transaction, "put_parts", lambda _: lambda self, parts: None)


def _checksum() -> None:
    from edgemesh.log.journal import Journal
    from edgemesh.log.outbox import Row

    swap(Journal, "_checked", lambda _: lambda self, due, columns, crc: Row(*columns))


def _witness() -> None:
    from edgemesh.log.feeder import Feeder
    from edgemesh.log.witness import Witness

    swap(Witness, "read", lambda _: lambda self: None)
    swap(Feeder, "_is_possible", lambda _: lambda self, group, through, public: through <= self._head)


def _reserve() -> None:
    from edgemesh.log.room import Room

    swap(Room, "_hold", lambda _: lambda self: True)


def _writer() -> None:
    from edgemesh.log.journal import Journal

    swap(Journal, "_refuse_second_writer", lambda _: lambda self: None)


# -- the agents --------------------------------------------------------------------------------------------------------


def _settle_after_commit() -> None:
    from edgemesh.agents.runtime import Runtime

    def make_offer(original: Any) -> Any:
        def offer(self: Any, item: Any) -> None:
            settle = getattr(item, "settle", None)
            if settle is not None:
                settle()
                item.settle = _nothing
            original(self, item)

        return offer

    swap(Runtime, "offer", make_offer)


def _republish() -> None:
    from edgemesh.agents.runtime import Runtime

    def make_link(original: Any) -> Any:
        def link(self: Any, up: bool) -> None:
            original(self, up)
            self._republish = False

        return link

    swap(Runtime, "_link", make_link)


def _rehearsal() -> None:
    from edgemesh.agents.reader import Reader

    swap(Reader, "predecessor", lambda _: lambda self, gateway: (False, None))


def _presence() -> None:
    from edgemesh.agents.presence import PresenceTracker

    def make_see(original: Any) -> Any:
        def see(self: Any, card: Any, *, retained: bool, now_s: float) -> Any:
            return original(self, card, retained=False, now_s=now_s)

        return see

    swap(PresenceTracker, "see", make_see)


def _quarantine() -> None:
    from edgemesh.agents import patience, unread

    for module in (patience, unread):
        swap(module, "MAX_TRIES", lambda _: 2**40)


def _watchdog() -> None:
    from edgemesh.launch import watchdog

    swap(watchdog, "SILENT_S", lambda _: 2.0**40)


# -- the bus -----------------------------------------------------------------------------------------------------------


def _hearing() -> None:
    from edgemesh.bus.hearing import Hearing, Step
    from edgemesh.bus.sockets import BufferedSocket

    swap(Hearing, "check", lambda _: lambda self, arrived, waiting: Step.WAIT)
    swap(BufferedSocket, "limit_patience", lambda _: lambda self: None)


def _pace() -> None:
    from edgemesh.bus.pace import Pace

    swap(Pace, "is_open", lambda _: property(lambda self: True))


def _look_back() -> None:
    from edgemesh.bus.mqtt import MqttBus

    async def look_back(_self: Any, _earlier: Any) -> Any:
        await asyncio.Event().wait()

    swap(MqttBus, "_look_back", lambda _: look_back)


# -- the executors -----------------------------------------------------------------------------------------------------


def _fence() -> None:
    listing = importlib.import_module("firmware_sim.listing")
    executor = importlib.import_module("firmware_sim.executor")

    def make_follow(original: Any) -> Any:
        def follow(self: Any, listed: Any, now: Any) -> Any:
            self.memory.epoch = 0
            return original(self, listed, now)

        return follow

    swap(listing.Order, "key", lambda _: property(lambda order: f"{order.order}.{order.attempt}.{os.getpid()}"))
    swap(executor.Executor, "follow", make_follow)


def _grant() -> None:
    executor = importlib.import_module("firmware_sim.executor")

    def start(self: Any, job: Any, now: Any) -> Any:
        return [*self._begin(job, now), self._say(job.order, "started", now)]

    executor.Executor._PHASE_ENDS[executor.Phase.TRAVELLING] = start


def _nothing() -> None:
    pass


GUARDS = {
    "watermark": Guard("a row is held until its readers have committed it, not until it was handed over", _watermark),
    "resend": Guard("a producer sends again what a reader asks for", _resend),
    "window": Guard("a producer goes no further past its readers than the window", _window),
    "cursor": Guard("a reader skips the packs that it had", _cursor),
    "gap": Guard("a reader processes nothing beyond a gap", _gap),
    "epoch": Guard("a reader notices that a log is another one than before", _epoch),
    "transaction": Guard(
        "cursor and state are committed together with what follows from a pack, not before", _transaction
    ),
    "commit": Guard("nothing is published or settled before it is on the disk", _commit),
    "settle-after-commit": Guard("a message is settled after the commit", _settle_after_commit),
    "checkpoint": Guard("the state of a core is committed with its records", _checkpoint),
    "checksum": Guard("a row that is not what was written is found", _checksum),
    "witness": Guard("a log that was put back to an older state is found out", _witness),
    "reserve": Guard("some room is set aside for when the disk is full", _reserve),
    "writer": Guard("a journal has one writer, the newest", _writer),
    "republish": Guard("what stands is published again after each reconnect", _republish),
    "rehearsal": Guard("a detector that takes a log over says nothing that was said already", _rehearsal),
    "presence": Guard("a retained card alone is no sign of life", _presence),
    "quarantine": Guard("what the core can't take three times is put away, and the rest goes on", _quarantine),
    "watchdog": Guard("an agent that says nothing any more is ended and started again", _watchdog),
    "hearing": Guard("a link over which nothing comes any more is given up", _hearing),
    "pace": Guard("no more bulk is under way than gets through in about half a second", _pace),
    "look-back": Guard("a client on a later broker of the list goes back to an earlier one", _look_back),
    "clock": Guard(
        "time goes on at its rate whatever the wall clock is set to, and says when it can't be believed", _clock
    ),
    "fence": Guard(
        "an executor does an order once, whatever attempt or epoch it comes under, over a restart too", _fence, FIRMWARE
    ),
    "grant": Guard("an executor begins when its list says so, not when it has said so", _grant, FIRMWARE),
}
"""By the names that `--without` takes."""
