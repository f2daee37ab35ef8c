"""The sender: takes lines from the spool to InfluxDB, in a thread of its own."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from edgemesh.errors import StoreError
from edgemesh.store.influx.progress import Dead, Progress
from edgemesh.store.influx.reader import Place, Request
from edgemesh.store.influx.spool import Lane
from edgemesh.store.influx.verdict import HOLD_S, Reply, Verdict, judge
from edgemesh.store.retry import wait_s

logger = logging.getLogger(__name__)

MAX_LINES = 5_000
EVERY_S = 1.0
BUSY_S = 0.5
"""So long it waits for the recorder to keep dead letters."""
ROW_OF_REFUSALS = 64
"""After so many dead letters with nothing stored in between nobody looks for the one bad line any more."""
STOP_S = 2.0
TEXT = 160
_DROPPED = re.compile(r"dropped=(\d{1,9})")


class Reader(Protocol):
    """Where lines come from; one thread uses it. See `edgemesh.store.influx.reader.SpoolReader`."""

    def take(self, lane: Lane, place: Place, max_lines: int) -> Request | None:
        """The next lines of a lane after a place, at most so many; None: none wait."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class Post(Protocol):
    """How lines come to a server; one thread uses it."""

    def write(self, bucket: str, body: bytes) -> Reply:
        """Send one request and return what came of it, within the time-out; never raises for the server's sake."""
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


@dataclass(slots=True)
class _Lane:
    """One lane on its way. `limit` lines go at once now, at `most` after a request was too large; `refusals` in a row;
    not before `due_s`; `held`: why nothing is taken.
    """

    lane: Lane
    bucket: str
    limit: int
    most: int
    place: Place = field(default_factory=Place)
    refusals: int = 0
    due_s: float = 0.0
    held: str = ""


class Sender:
    """Sends what waits, at most `max_lines` at once and every `every_s`, events first, one request at a time.

    `buckets` by lane; a lane without one is not sent. Rows are over only after a 2xx, or once their lines are dead
    letters. `step` may be called by one thread at a time; `start` makes one that does.
    """

    def __init__(
        self,
        reader: Reader,
        progress: Progress,
        post: Callable[[], Post],
        buckets: dict[Lane, str],
        *,
        max_lines: int = MAX_LINES,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._reader, self._progress, self._make_post = reader, progress, post
        self._max_lines, self._every_s = max_lines, every_s
        self._clock, self._wall, self._chance = clock, wall, chance
        self._lanes = [_Lane(lane, bucket, max_lines, max_lines) for lane, bucket in sorted(buckets.items()) if bucket]
        self._post: Post | None = None
        self._failures = 0
        self._retry_s = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # -- the thread ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._run, name="influxdb", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a request that is under way is waited for 2 s at most. What was not sent stays in the spool."""
        self._stop.set()
        if self._thread:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    rest_s = self.step()
                except Exception as error:
                    if not self._progress.health.failing:  # the same again and again is said once
                        logger.exception("InfluxDB: sending failed, going on")
                    self._fail(Reply(0, f"{type(error).__name__}: {error}"))
                    rest_s = self._every_s
                self._stop.wait(rest_s)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of file and connections; for whoever calls `step` himself."""
        self._reader.close()
        if self._post:
            self._post.close()

    # -- one step -----------------------------------------------------------------------------------------------------

    def step(self) -> float:
        """Send at most one request; return after how many seconds the next step is due (0: at once)."""
        now_s = self._clock()
        if now_s < self._retry_s:
            return self._retry_s - now_s
        if self._progress.is_crowded():
            return BUSY_S
        try:
            for lane in self._lanes:
                if now_s < lane.due_s:
                    continue
                request = self._reader.take(lane.lane, lane.place, lane.limit)
                lane.due_s = now_s if request and request.more else now_s + self._every_s
                if request and request.body:
                    self._send(lane, request)
                    return 0.0
                if request:
                    self._bury(lane, request, Reply(0, "the row is damaged"), Verdict.REFUSED)
                    return 0.0
        except StoreError as error:
            self._fail(Reply(0, str(error)))
        return max(min((lane.due_s for lane in self._lanes), default=now_s + self._every_s) - now_s, 0.0)

    def _send(self, lane: _Lane, request: Request) -> None:
        if self._post is None:
            self._post = self._make_post()
        reply = self._post.write(lane.bucket, request.body)
        health = self._progress.health
        health.requests += 1
        verdict = judge(reply)
        if verdict is Verdict.AGAIN:
            lane.due_s = 0.0
            self._fail(reply)
            return
        self._answered()
        if verdict is Verdict.HOLD:
            self._hold(lane, reply)
            return
        self._release(lane)
        if verdict is Verdict.DONE:
            if not health.sent_lines:
                logger.info("InfluxDB takes lines, bucket `%s`", lane.bucket)
            health.sent_lines += request.lines
            lane.refusals = 0
            self._pass(lane, request)
        elif request.lines > 1 and verdict is not Verdict.PARTLY and not self._gives_up(lane, verdict):
            lane.limit, lane.due_s = max(request.lines // 2, 1), 0.0
            lane.most = lane.limit if verdict is Verdict.HALVE else lane.most
        else:
            self._bury(lane, request, reply, verdict)

    def _gives_up(self, lane: _Lane, verdict: Verdict) -> bool:
        """Whether so much was refused in a row that all of it will be."""
        return verdict is Verdict.REFUSED and lane.refusals >= ROW_OF_REFUSALS

    def _pass(self, lane: _Lane, request: Request) -> None:
        lane.place = request.ends
        lane.most = min(lane.most + max(lane.most // 50, 1), self._max_lines)
        lane.limit = min(lane.limit * 2, lane.most)
        self._progress.over(int(lane.lane), request.ends.row)

    def _bury(self, lane: _Lane, request: Request, reply: Reply, verdict: Verdict) -> None:
        lane.refusals += 1
        reason = f"{reply.status or ''} {_short(reply.text)}".lstrip()
        health = self._progress.health
        health.refused, health.refused_at_s = reason, self._clock()
        lost = _dropped(reply.text, request.lines) if verdict is Verdict.PARTLY else request.lines
        health.sent_lines += request.lines - lost
        logger.error("InfluxDB: %d lines refused for good: %s", lost, reason)
        self._progress.bury(Dead(request.key, int(lane.lane), lost, reason, request.body))
        self._pass(lane, request)

    # -- how it goes --------------------------------------------------------------------------------------------------

    def _fail(self, reply: Reply) -> None:
        now_s, health = self._clock(), self._progress.health
        self._failures += 1
        self._retry_s = now_s + wait_s(reply.retry_after, self._failures, self._chance, self._wall())
        said = f"{reply.status} {_short(reply.text)}" if reply.status else _short(reply.text)
        if not health.failing:
            health.since_s = now_s
            logger.warning("InfluxDB can't be written, lines wait: %s", said)
        health.failing = said

    def _answered(self) -> None:
        health = self._progress.health
        if health.failing:
            logger.warning("InfluxDB answers again after %.0f s", self._clock() - health.since_s)
        self._failures, health.failing = 0, ""

    def _hold(self, lane: _Lane, reply: Reply) -> None:
        now_s, health = self._clock(), self._progress.health
        held = f"bucket `{lane.bucket}`: {reply.status} {_short(reply.text)}"
        if held != lane.held:
            logger.error("InfluxDB takes nothing, lines wait: %s", held)
        if not health.held:
            health.since_s = now_s
        lane.due_s = now_s + HOLD_S * (0.5 + 0.5 * self._chance())
        lane.held = health.held = held

    def _release(self, lane: _Lane) -> None:
        if lane.held:
            logger.warning("InfluxDB takes lines again for bucket `%s`", lane.bucket)
            lane.held = ""
        self._progress.health.held = next((each.held for each in self._lanes if each.held), "")


def _short(text: str) -> str:
    """A server's text as one short line."""
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 4 * TEXT]).split())
    return plain if len(plain) <= TEXT else plain[: TEXT - 1] + "…"


def _dropped(text: str, lines: int) -> int:
    """How many lines of a partial write were not stored, if the server says it; else all may be."""
    found = _DROPPED.search(text)
    return min(int(found[1]), lines) if found else lines
