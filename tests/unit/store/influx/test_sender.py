"""The sender: what each answer of a server does to the lines, told step by step without a thread."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgemesh.store.influx.progress import MAX_WAITING_DEAD, Progress
from edgemesh.store.influx.reader import SpoolReader
from edgemesh.store.influx.sender import ROW_OF_REFUSALS, Sender
from edgemesh.store.influx.spool import Lane, Spool
from edgemesh.store.influx.verdict import HOLD_S, Reply
from tests.conftest import WaitFor

OK = Reply(204)


@dataclass
class Server:
    """Stores what it answers with 2xx; `answer` says what comes of a bucket and its lines."""

    answer: Callable[[str, list[str]], Reply] = lambda bucket, lines: OK
    stored: dict[str, list[str]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def write(self, bucket: str, body: bytes) -> Reply:
        lines = body.decode().split("\n")
        self.sizes.append(len(lines))
        reply = self.answer(bucket, lines)
        if reply.status == 204:
            self.stored.setdefault(bucket, []).extend(lines)
        return reply

    def close(self) -> None:
        pass


class Site:
    """A spool, a sender and a server; the clock is moved by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.now_s = 100.0
        self.server = Server()
        self.begin()

    def begin(self) -> None:
        """As a new process: what is known is on the disk."""
        self.progress = Progress()
        self.spool = Spool(self.progress, steady=lambda: round(self.now_s * 1e9))
        self.spool.prepare(self.connection)
        buckets = {Lane.EVENTS: "raw", Lane.READINGS: "raw", Lane.ROLLUPS: "long"}
        self.reader = SpoolReader(self.path)
        self.sender = Sender(
            self.reader,
            self.progress,
            lambda: self.server,
            buckets,
            max_lines=100,
            clock=lambda: self.now_s,
            wall=lambda: 1e9,
            chance=lambda: 1.0,
        )

    def put(self, lines: list[str], lane: Lane = Lane.READINGS) -> list[str]:
        self.spool.put(self.connection, lane, lines)
        return lines

    def run(self, *, steps: int = 1_000, until_s: float = 0.0) -> float:
        """Step while it is due at once, and on to `until_s`; return how long it would wait then."""
        for _ in range(steps):
            wait_s = self.sender.step()
            if wait_s and self.now_s + wait_s > until_s:
                return wait_s
            self.now_s += wait_s
        return 0.0

    def keep_house(self) -> None:
        self.spool.keep_house(self.connection, 1)

    def waiting(self) -> int:
        self.keep_house()
        return self.spool.waiting

    def dead(self) -> list[tuple[int, str]]:
        self.keep_house()
        return self.connection.execute("SELECT lines, reason FROM influx_dead ORDER BY id").fetchall()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "recorder.db")
    yield made
    made.reader.close()
    made.connection.close()


def lines(count: int, name: str = "m") -> list[str]:
    return [f"{name} v=1 {number}" for number in range(count)]


def test_all_is_sent_in_order_and_leaves_the_spool(site: Site) -> None:
    """A backlog goes out at once in requests of the largest size, in order, once; then the sender rests a second."""
    put = site.put(lines(250))
    assert site.run() == pytest.approx(1.0)
    assert site.server.stored["raw"] == put
    assert site.server.sizes == [100, 100, 50]
    assert site.waiting() == 0


def test_what_comes_within_a_second_goes_together(site: Site) -> None:
    """Lines of many commits form one request a second."""
    site.put(lines(1))
    site.run()
    for number in range(10):
        site.put([f"m v=2 {number}"])
        assert site.sender.step() > 0.0
    site.now_s += 1.0
    site.run()
    assert site.server.sizes == [1, 10]


def test_events_go_first_and_roll_ups_into_their_own_bucket(site: Site) -> None:
    """An alert does not wait behind a backlog of readings."""
    site.put(lines(300))
    events = site.put(["alert v=1 1"], Lane.EVENTS)
    rollups = site.put(["reading_1m v=1 1"], Lane.ROLLUPS)
    site.sender.step()
    assert site.server.stored["raw"] == events
    site.run()
    assert site.server.stored["long"] == rollups


@pytest.mark.parametrize("reply", [Reply(0, "refused"), Reply(500), Reply(503), Reply(429)])
def test_a_server_that_takes_nothing_costs_nothing(site: Site, reply: Reply) -> None:
    """The same lines are sent again, less and less often, until they are stored; none is stored twice or lost."""
    put = site.put(lines(150))
    site.server.answer = lambda bucket, lines: reply
    site.run(until_s=site.now_s + 600.0)
    asked = len(site.server.sizes)
    assert 10 <= asked <= 20, "1, 2, 4 .. 60, 60 s between them"
    assert site.waiting() == 150
    assert site.progress.health.failing
    site.server.answer = lambda bucket, lines: OK
    site.run(until_s=site.now_s + 61.0)
    assert site.server.stored["raw"] == put
    assert (site.waiting(), site.progress.health.failing) == (0, "")


def test_retry_after_is_honoured(site: Site) -> None:
    """A server that asks for 300 s is left alone for so long."""
    site.put(lines(1))
    site.server.answer = lambda bucket, lines: Reply(429, "", "300")
    assert 300.0 <= site.run() <= 301.0
    assert len(site.server.sizes) == 1


def test_a_refused_login_holds_the_spool(site: Site) -> None:
    """401, 403, 404: nothing is lost, somebody is told what is wrong, and it is tried again now and then."""
    put = site.put(lines(5))
    site.server.answer = lambda bucket, lines: Reply(401, "unauthorized access")
    site.run(until_s=site.now_s + 10 * HOLD_S)
    assert "401 unauthorized access" in site.progress.health.held
    assert site.waiting() == 5
    assert len(site.server.sizes) <= 12
    site.server.answer = lambda bucket, lines: OK
    site.run(until_s=site.now_s + HOLD_S + 1)
    assert site.server.stored["raw"] == put
    assert site.progress.health.held == ""


def test_a_missing_bucket_holds_only_its_own_lines(site: Site) -> None:
    """Readings go on where only the bucket of roll-ups is missing."""
    site.put(lines(3), Lane.ROLLUPS)
    site.server.answer = lambda bucket, lines: Reply(404, "not found") if bucket == "long" else OK
    site.run()
    put = site.put(lines(3))
    site.run(until_s=site.now_s + 5.0)
    assert site.server.stored == {"raw": put}
    assert "`long`" in site.progress.health.held


def test_one_bad_line_costs_itself_alone(site: Site) -> None:
    """Of a request that is refused as a whole the bad lines are found and buried, and all others are stored once."""
    bad = {"m v=1 17", "m v=1 80", "m v=1 81"}
    site.server.answer = lambda bucket, lines: Reply(400, "unable to parse") if bad & set(lines) else OK
    put = site.put(lines(100))
    site.run()
    assert site.server.stored["raw"] == [line for line in put if line not in bad]
    assert site.dead() == [(1, "400 unable to parse")] * 3
    assert site.waiting() == 0


def test_lines_that_are_all_bad_do_not_hold_up_the_rest(site: Site) -> None:
    """When one line after the other is refused, the rest of them go in large lots, not one by one; what comes after
    them is stored, but for what is in the last of those lots.
    """
    site.server.answer = lambda bucket, lines: Reply(422, "no") if lines[0].startswith("bad") else OK
    site.put(lines(2_000, "bad"))
    good = site.put(lines(250))
    site.run()
    while site.progress.is_crowded():
        site.keep_house()
        site.run()
    stored = site.server.stored["raw"]
    assert stored == good[-len(stored) :]
    assert len(stored) > 150
    assert sum(count for count, _ in site.dead()) == 2_250 - len(stored)
    assert len(site.server.sizes) < 40 + 3 * ROW_OF_REFUSALS


def test_a_partial_write_is_never_sent_again(site: Site) -> None:
    """The good lines are stored already: the request is kept as a dead letter, and as many lines count as it says."""
    site.server.answer = lambda bucket, lines: Reply(400, '{"error":"partial write: type conflict dropped=2"}')
    site.put(lines(50))
    site.run()
    assert len(site.server.sizes) == 1
    assert [count for count, _ in site.dead()] == [2]
    assert site.waiting() == 0


def test_too_large_is_halved(site: Site) -> None:
    """413 halves the request until it fits; all lines are stored once, and the size is remembered for a while."""
    site.server.answer = lambda bucket, lines: Reply(413) if len(lines) > 20 else OK
    put = site.put(lines(400))
    site.run()
    assert site.server.stored["raw"] == put
    refused = sum(size > 20 for size in site.server.sizes)
    assert refused < 8, site.server.sizes


def test_a_line_that_is_too_large_alone_is_buried(site: Site) -> None:
    """A single line that no request can hold does not stop those behind it."""
    site.server.answer = lambda bucket, lines: Reply(413) if any(line.startswith("big") for line in lines) else OK
    site.put(["big v=1 1"])
    put = site.put(lines(5))
    site.run()
    assert site.server.stored["raw"] == put
    assert len(site.dead()) == 1


def test_after_a_crash_nothing_is_missing(site: Site) -> None:
    """What was sent but not yet taken out is sent again, the same lines to the letter; nothing is left out."""
    put = site.put(lines(150))
    site.sender.step()
    site.reader.close()
    site.begin()
    site.run()
    assert site.server.stored["raw"] == put[:100] + put
    assert site.waiting() == 0


def test_dead_letters_wait_for_the_recorder(site: Site) -> None:
    """Dead letters do not gather in memory without end: the sender waits until some are on the disk."""
    site.server.answer = lambda bucket, lines: Reply(400, "no")
    for number in range(MAX_WAITING_DEAD + 50):
        site.put([f"m v=1 {number}"])
    site.sender._max_lines = site.sender._lanes[1].most = site.sender._lanes[1].limit = 1
    site.run()
    assert site.progress.is_crowded()
    while site.progress.is_crowded():
        site.keep_house()
        site.keep_house()
        site.run()
    assert sum(count for count, _ in site.dead()) == MAX_WAITING_DEAD + 50


def test_stop_does_not_wait_for_a_server_that_hangs(
    site: Site, monkeypatch: pytest.MonkeyPatch, wait_for: WaitFor
) -> None:
    """Ending takes STOP_S at most, whatever the server does; with nothing under way it takes a moment."""
    hangs, ends = threading.Event(), threading.Event()

    def hang(bucket: str, lines: list[str]) -> Reply:
        hangs.set()
        ends.wait(10)
        return OK

    monkeypatch.setattr("edgemesh.store.influx.sender.STOP_S", 0.05)
    site.server.answer = hang
    site.put(lines(1))
    site.sender.start()
    wait_for(hangs.is_set)
    began_s = time.monotonic()
    site.sender.stop()
    assert time.monotonic() - began_s < 1.0
    thread = site.sender._thread
    assert thread is not None
    assert thread.is_alive()
    ends.set()
    thread.join(5)
    assert not thread.is_alive()


def test_what_a_step_raises_does_not_end_the_thread(
    site: Site, wait_for: WaitFor, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that raises is logged, and the lines are sent after it."""
    tries = iter((True, False))

    def raise_once(bucket: str, lines: list[str]) -> Reply:
        if next(tries, False):
            raise RuntimeError("of the client")
        return OK

    site.server.answer = raise_once
    site.sender._every_s = 0.01
    put = site.put(lines(3))
    site.sender.start()
    wait_for(lambda: "sending failed" in caplog.text)
    site.now_s += 10.0
    wait_for(site.progress.done)
    site.sender.stop()
    assert site.server.stored["raw"] == put


def test_what_a_server_says_is_one_short_line(site: Site) -> None:
    """A page of HTML or control characters as an error is shown as a short plain text."""
    site.put(lines(1))
    site.server.answer = lambda bucket, lines: Reply(404, "<html>\n\x1b[31m" + "x" * 10_000)
    site.run()
    assert "\n" not in site.progress.health.held
    assert "\x1b" not in site.progress.health.held
    assert len(site.progress.health.held) < 220


def test_a_damaged_row_costs_only_itself(site: Site) -> None:
    """A row of the spool that the disk has changed is counted as refused, and those before and behind it are sent."""
    first, second, third = (site.put(lines(3, name)) for name in ("a", "b", "c"))
    site.connection.execute("UPDATE influx_spool SET body = x'00' WHERE id = 2")
    site.run()
    assert site.server.stored["raw"] == first + third
    assert site.dead() == [(len(second), "the row is damaged")]


def test_a_spool_that_can_not_be_read_is_told(site: Site) -> None:
    """While the file can't be read nothing is lost, it is said why, and it goes on once it can."""
    put = site.put(lines(3))
    site.connection.execute("ALTER TABLE influx_spool RENAME TO elsewhere")
    site.run()
    assert "influx_spool" in site.progress.health.failing
    site.connection.execute("ALTER TABLE elsewhere RENAME TO influx_spool")
    site.run(until_s=site.now_s + 61.0)
    assert site.server.stored["raw"] == put
    assert site.progress.health.failing == ""
