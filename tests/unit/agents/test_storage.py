"""The care for an agent's disk: what gives way when there is no room, what does not, and what is said of it."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgemesh.agents import runtime as runtime_module
from edgemesh.agents.clock import SystemClock
from edgemesh.agents.engine import Engine
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.items import Offered
from edgemesh.agents.storage import Storage
from edgemesh.errors import LogFull
from edgemesh.log import room
from edgemesh.log.journal import Journal
from edgemesh.model.agents import Card, Role, Watermark
from edgemesh.prove import disks
from edgemesh.testing import make_batch, make_sample
from edgemesh.wire import codec
from tests.unit.agents.site import SOURCE, TOPICS, Keeper, client, collect, running

Until = Callable[..., Awaitable[None]]
BODY = codec.encode_records([make_batch([1.0] * 500)])
READINGS = 500


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_module, "RETRY_S", (0.01, 0.05))
    monkeypatch.setattr(runtime_module, "HOUSEKEEPING_S", 0.05)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[disks.SmallDisk]:
    """A disk of 24 MB. No root: skip with a hint, but fail where the environment says that this is CI."""
    if lacks := disks.missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacks)
    with disks.SmallDisk(tmp_path / "disk", 24) as disk:
        yield disk


class Kit:
    """An engine and its storage over a journal."""

    def __init__(
        self,
        path: Path,
        *,
        writes: str = "readings",
        max_bytes: int | None = None,
        reserve: int = 0,
        hold_s: float = 1e6,
        keep_s: float = 600.0,
    ) -> None:
        self.journal = Journal.open(path, "gw", max_bytes=max_bytes, reserve_bytes=reserve)
        self.engine = Engine(self.journal, GatewayCore, SystemClock(), writes=writes)
        self.storage = Storage(self.engine, hold_s=hold_s, keep_s=keep_s)

    def append(self, count: int = 1, at_ns: int | None = None) -> None:
        for _ in range(count):
            with self.journal.begin() as transaction:
                now_ns = self.engine.clock.now_ns() if at_ns is None else at_ns
                transaction.append(self.engine.writes, BODY, at_ns=now_ns)

    def fill(self) -> int:
        with pytest.raises(LogFull):  # noqa: PT012
            while True:
                self.append()
        return self.journal.head


def test_readings_give_way_to_newer_ones(tmp_path: Path) -> None:
    """A log of readings that is full lets its oldest go, counts those that not every reader had, and takes new ones."""
    kit = Kit(tmp_path / "gw.db", max_bytes=2_000_000)
    with closing(kit.journal):
        head = kit.fill()
        assert kit.storage.make_room(needed=3)
        gone = kit.journal.lowest - 1
        assert gone > 3
        kit.append()
        assert kit.journal.head == head + 1
        assert kit.storage.lost == kit.storage.stats()["readings_dropped"] == (gone - 3) * READINGS
        assert "oldest readings give way" in kit.storage.trouble
    again = Kit(tmp_path / "gw.db", max_bytes=2_000_000)
    with closing(again.journal):
        assert again.storage.lost == (gone - 3) * READINGS  # the count outlives a restart


def test_what_all_readers_have_is_no_loss(tmp_path: Path) -> None:
    """Rows that are only kept for newcomers go first, and nothing of them is counted."""
    kit = Kit(tmp_path / "gw.db", max_bytes=2_000_000)
    with closing(kit.journal):
        head = kit.fill()
        assert kit.storage.make_room(needed=head)
        kit.append()
        assert (kit.storage.lost, kit.storage.trouble) == (0, "")


@pytest.mark.parametrize("kind", ["alerts", "orders"])
def test_alerts_and_orders_never_give_way(tmp_path: Path, kind: str) -> None:
    """A full log of alerts or orders keeps every row and takes nothing more in."""
    kit = Kit(tmp_path / "gw.db", writes=kind, max_bytes=2_000_000)
    with closing(kit.journal):
        head = kit.fill()
        kit.storage.make_room(needed=head)
        assert not kit.storage.make_room(needed=head)
        with pytest.raises(LogFull):
            kit.append()
        assert (kit.journal.lowest, kit.journal.head, kit.storage.lost) == (1, head, 0)


def test_readings_wait_only_so_long(tmp_path: Path) -> None:
    """Readings that no reader has fetched within `hold` give way, counted, and the rest stay."""
    kit = Kit(tmp_path / "gw.db", hold_s=100.0)
    with closing(kit.journal):
        now_ns = kit.engine.clock.now_ns()
        kit.append(3, at_ns=now_ns - 200 * 10**9)
        kit.append(2, at_ns=now_ns - 40 * 10**9)
        kit.storage.keep_house(needed=1)
        assert (kit.journal.lowest, kit.storage.lost) == (4, 2 * READINGS)
        assert 55 < kit.storage.stats()["full_in_s"] <= 60
        for _ in range(2):
            assert "give way" in kit.storage.trouble
            kit.storage.keep_house(needed=5)
        assert "full_in_s" not in kit.storage.stats()
        assert kit.storage.trouble == ""


def test_the_time_until_it_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going by the last minutes, the card says how long the room will last."""
    kit = Kit(tmp_path / "gw.db", max_bytes=10_000_000)
    now_s = 1_000.0
    monkeypatch.setattr("edgemesh.agents.storage.time.monotonic", lambda: now_s)
    with closing(kit.journal):
        for _ in range(4):
            kit.storage.keep_house(needed=1_000_000)
            kit.append(10)
            now_s += 20.0
        kit.storage.keep_house(needed=0)
        used = kit.journal.room.used_bytes()
        expected = (10_000_000 - used) / (used / 80.0)
        assert kit.storage.stats()["full_in_s"] == pytest.approx(expected, rel=0.1)


def test_a_full_disk_does_not_stop_a_log_of_readings(small_disk: disks.SmallDisk) -> None:
    """When another program has filled the disk, new readings go on taking the place of the oldest, and all is said.

    Once there is room the reserve is taken again and the log may grow.
    """
    kit = Kit(small_disk.folder / "gw.db", max_bytes=10**9, reserve=room.RESERVE_BYTES)
    with closing(kit.journal):
        kit.append(200)
        small_disk.fill()
        for _ in range(1_000):
            for attempt in range(8):
                try:
                    kit.append()
                    break
                except LogFull:
                    assert kit.storage.make_room(needed=0), attempt
                    small_disk.fill()  # others take what they can
            else:
                pytest.fail("no room was made")
        assert kit.journal.head == 1_200
        assert kit.storage.lost == (kit.journal.lowest - 1) * READINGS > 0
        assert "full" in kit.storage.trouble
        small_disk.free()
        for _ in range(2):
            kit.storage.keep_house(needed=1_200)
        assert (kit.storage.trouble, kit.journal.room.tight) == ("", False)
        assert Path(f"{kit.journal.path}-reserve").stat().st_size == room.RESERVE_BYTES


def test_a_start_on_a_full_disk(small_disk: disks.SmallDisk) -> None:
    """An agent that was ended while the disk was full starts on it, with all rows, and goes on."""
    kit = Kit(small_disk.folder / "gw.db", reserve=room.RESERVE_BYTES)
    kit.append(100)
    kit.journal.close()
    small_disk.fill()
    again = Kit(small_disk.folder / "gw.db", reserve=room.RESERVE_BYTES)
    with closing(again.journal):
        assert (again.journal.lowest, again.journal.head, again.journal.found) == (1, 100, [])
        assert "the disk is full" in again.storage.trouble
        again.append()


def test_without_the_reserve_a_full_disk_stops_everything(small_disk: disks.SmallDisk) -> None:
    """The test above can fail: without a reserve not even a deletion can be written."""
    kit = Kit(small_disk.folder / "gw.db", max_bytes=10**9)
    with closing(kit.journal):
        kit.append(200)
        small_disk.fill()
        with pytest.raises(LogFull):  # noqa: PT012
            for _ in range(2_000):
                kit.append()
        assert not kit.storage.make_room(needed=0)


def test_a_full_disk_leaves_alerts_their_reserve(small_disk: disks.SmallDisk) -> None:
    """On a full disk alerts are written on into the reserve; none gives way."""
    kit = Kit(small_disk.folder / "gw.db", writes="alerts", reserve=room.RESERVE_BYTES)
    with closing(kit.journal):
        kit.append(100)
        small_disk.fill()
        kit.fill()
        head = kit.journal.head
        assert kit.storage.make_room(needed=0)
        kit.append(20)
        assert (kit.journal.lowest, kit.journal.head) == (1, head + 20)


# -- in a running agent -----------------------------------------------------------------------------------------------


def last_card(messages: list[object]) -> Card:
    return codec.decode_card(messages[-1].payload, agent="gw")  # type: ignore[attr-defined]


def test_nothing_is_settled_that_is_not_kept(
    tmp_path: Path, until: Until, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the file can't be written nothing is settled, the card says why, and what is in the log still goes out.

    When it can be written again all of it is kept, and that is said, too.
    """
    monkeypatch.setattr(runtime_module, "HEARTBEAT_S", 0.05)
    settled: list[int] = []

    def offer(number: int) -> Offered:
        return Offered((make_sample(float(number), source=SOURCE),), lambda: settled.append(number))

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as stranger:
            gateway = site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
            site.add("recorder", Role.RECORDER, Keeper)
            cards = collect(stranger, TOPICS.card("gw"))
            await site.start("gw")
            gateway.offer(offer(1))
            await until(lambda: settled == [1])
            gateway.engine.journal._connection.execute("PRAGMA query_only = ON")
            for number in (2, 3, 4):
                gateway.offer(offer(number))
            await until(lambda: "can't keep what comes in" in last_card(cards).trouble)  # type: ignore[arg-type]
            await site.start("recorder")
            await until(lambda: site.kept("recorder") == {"gw": [1.0]})
            assert settled == [1]
            gateway.engine.journal._connection.execute("PRAGMA query_only = OFF")
            await until(lambda: settled == [1, 2, 3, 4])
            await until(lambda: site.kept("recorder") == {"gw": [1.0, 2.0, 3.0, 4.0]})
            await until(lambda: not last_card(cards).trouble)  # type: ignore[arg-type]

    with caplog.at_level(logging.INFO):
        asyncio.run(body())
    assert [caplog.text.count(words) for words in ("can't keep what comes in", "keeps what comes in again")] == [1, 1]


def test_a_stop_does_not_wait_for_a_disk(tmp_path: Path, until: Until) -> None:
    """An agent that can't keep what came in ends when it is told to, and settles none of it."""
    settled: list[int] = []

    async def body() -> None:
        async with running(tmp_path) as site:
            gateway = site.add("gw", Role.GATEWAY, GatewayCore)
            await site.start()
            gateway.engine.journal._connection.execute("PRAGMA query_only = ON")
            gateway.offer(Offered((make_sample(1.0, source=SOURCE),), lambda: settled.append(1)))
            await until(lambda: gateway.storage.failing)
            async with asyncio.timeout(4):
                await gateway.stop()
            site.agents.clear()

    asyncio.run(body())
    assert settled == []


def put_back(copy: Path, path: Path) -> None:
    """Have the copy in the place of the journal, as if all that belongs to it was put back with it."""
    for ending in ("-wal", "-shm", "-head"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    copy.rename(path)


def test_an_older_copy_that_readers_know_better_goes_on_under_a_new_epoch(tmp_path: Path, until: Until) -> None:
    """Where only a reader's watermark shows that rows are missing, new ones reach it nevertheless, and it is said."""

    async def body() -> None:
        async with running(tmp_path) as site:
            site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
            site.add("recorder", Role.RECORDER, Keeper)
            await site.start()
            site.put("gw", 1.0)
            await until(lambda: site.kept("recorder") == {"gw": [1.0]})
            gateway = site.agents["gw"]
            epoch, path = gateway.engine.journal.epoch, gateway.engine.journal.path
            with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
                old.backup(copy)
            for number in range(2, 12):
                site.put("gw", float(number))
                await until(lambda: len(site.kept("recorder")["gw"]) == number)  # noqa: B023
            await gateway.stop()
            site.agents.pop("gw")
            put_back(tmp_path / "copy.db", path)
            again = await site.revive("gw")
            site.put("gw", 100.0)
            await until(lambda: 100.0 in site.kept("recorder")["gw"])
            assert again.engine.journal.epoch != epoch
            assert site.peek("gw").rejections() == {"log_rolled_back": 1}

    asyncio.run(body())


def test_a_watermark_beyond_a_log_that_began_here_changes_nothing(tmp_path: Path, until: Until) -> None:
    """Who says to have rows that never were can't make a log that we know begin again."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as stranger:
            gateway = site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
            await site.start()
            await until(lambda: gateway.bus.linked)
            epoch = gateway.engine.journal.epoch
            stranger.publish(TOPICS.watermark("gw", "recorder"), codec.encode(Watermark(epoch=epoch, through=10**9)))
            assert gateway.feed is not None
            await until(lambda: gateway.feed.feeder.strange == 1)
            site.put("gw", 1.0)
            await until(lambda: gateway.engine.journal.head == 1)
            assert gateway.engine.journal.epoch == epoch

    asyncio.run(body())


def test_a_write_budget_lets_readings_gather(tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the budget is at risk readings are committed less often, all of them; sampling goes on meanwhile."""
    monkeypatch.setattr(runtime_module, "HEARTBEAT_S", 0.01)
    commits = 0

    async def body() -> None:
        nonlocal commits
        async with running(tmp_path) as site:
            gateway = site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
            site.add("recorder", Role.RECORDER, Keeper)
            journal = gateway.engine.journal
            monkeypatch.setattr("edgemesh.agents.storage.written_bytes", lambda: 100_000 * journal.stats().commits)
            gateway.storage = Storage(gateway.engine, write_budget=24_000_000)
            await site.start()
            for number in range(150):
                site.put("gw", float(number))
                await asyncio.sleep(0.005)
            await until(lambda: site.kept("recorder") == {"gw": [float(number) for number in range(150)]}, 20)
            commits = journal.stats().commits
            assert 0.0 < gateway.storage.rest_s <= 2.0
            assert gateway.storage.stats()["commit_rest_ms"] > 0
            assert site.agents["recorder"].storage.rest_s == 0.0  # it has no budget

    asyncio.run(body())
    assert commits < 75


@pytest.mark.parametrize("kind", ["alerts", "orders"])
def test_alerts_never_wait_for_a_write_budget(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much was written."""
    written = 0
    monkeypatch.setattr("edgemesh.agents.storage.written_bytes", lambda: written)
    with closing(Journal.open(tmp_path / "a.db", "a")) as journal:
        for writes, rests in ((kind, False), ("readings", True), ("", True)):
            written = 0
            engine = Engine(journal, GatewayCore, SystemClock(), writes=writes)
            storage = Storage(engine, write_budget=1_000_000)
            written = 10**9
            storage.beat()
            assert (storage.rest_s > 0.0) == rests


def test_a_log_that_can_not_be_mended_is_begun_anew(
    tmp_path: Path, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway whose file is damaged beyond one row moves it aside while it runs, and what can be read goes out."""

    async def body() -> None:
        async with running(tmp_path) as site:
            gateway = site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
            site.add("recorder", Role.RECORDER, Keeper)
            journal = gateway.engine.journal
            journal._anew = True
            await site.start("gw")
            site.put("gw", 1.0)
            await until(lambda: journal.head == 1)
            assert gateway.feed is not None
            gateway.feed._recent.clear()
            journal._connection.execute("DROP TABLE quarantine")  # so that the row can't be given up either
            journal._connection.execute("UPDATE outbox SET crc = 0")
            await site.start("recorder")
            await until(lambda: bool(list(tmp_path.glob("gw.db.broken-*"))))
            site.put("gw", 7.0)
            await until(lambda: site.kept("recorder").get("gw", [])[-1:] == [7.0])

    asyncio.run(body())
    assert "moved aside" in caplog.text


def test_rows_are_kept_for_newcomers_after_they_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a backlog are old when they are read at last; they stay for `keep` all the same."""
    kit = Kit(tmp_path / "gw.db", keep_s=60.0)
    now_s = 1_000.0
    monkeypatch.setattr("edgemesh.agents.storage.time.monotonic", lambda: now_s)
    with closing(kit.journal):
        kit.append(9, at_ns=kit.engine.clock.now_ns() - 3_600 * 10**9)
        kit.storage.keep_house(needed=0)
        now_s += 100.0
        kit.storage.keep_house(needed=4)
        now_s += 50.0
        kit.storage.keep_house(needed=8)
        assert kit.journal.lowest == 1
        now_s += 15.0
        kit.storage.keep_house(needed=9)
        assert kit.journal.lowest == 5
        now_s += 50.0
        kit.storage.keep_house(needed=9)
        assert kit.journal.lowest == 9


def test_damage_is_told_until_all_readers_are_past_it(tmp_path: Path) -> None:
    """A row that was given up stands on the card until there is somebody who has surely heard of it."""
    kit = Kit(tmp_path / "gw.db")
    with closing(kit.journal):
        kit.append(5)
        kit.storage.beat()
        assert (kit.storage.trouble, kit.storage.lost) == ("", 0)
        kit.journal.mend(3, "readings", at_ns=1)
        kit.storage.beat()
        for needed in (2, 4, 5):
            assert (kit.storage.trouble, kit.storage.lost) == ("rows of the log were damaged", 1)
            kit.storage.keep_house(needed)
        kit.append(1)
        kit.storage.keep_house(5)
        assert (kit.storage.trouble, kit.storage.lost) == ("", 1)
