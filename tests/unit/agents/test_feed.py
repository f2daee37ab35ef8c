"""The feed: an outbox goes onto the bus in order, as far as there is room, and again for who lacks something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemesh.agents.feed import READ_ROWS, Feed
from edgemesh.errors import Rejected
from edgemesh.log.journal import Journal, Row
from edgemesh.model.agents import Watermark
from edgemesh.testing import make_batch
from edgemesh.wire import codec
from tests.unit.agents.site import TOPICS


class Line:
    """A bus that keeps what is published, while there is `room`."""

    def __init__(self) -> None:
        self.linked = True
        self.room = 10_000
        self.sent: list[tuple[str, bytes]] = []

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, traceparent: str = "", bulk: bool = False
    ) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.sent.append((topic, payload))
        return True

    def seqs(self) -> list[int]:
        return [codec.decode_pack(payload, kind="readings", agent="gw").seq for _, payload in self.sent]


class Kit:
    """A feed over a journal with a count of reads from the disk."""

    def __init__(self, journal: Journal, window: int) -> None:
        self.journal, self.line, self.reads = journal, Line(), 0

        async def in_worker(call: Callable[[], list[Row]]) -> list[Row]:
            self.reads += 1
            return call()

        self.feed = Feed(self.line, journal, TOPICS, "readings", in_worker, readers=["recorder"], window=window)  # type: ignore[arg-type]
        self.feed.feeder.linked(True)

    def commit(self, count: int) -> None:
        body = codec.encode_records([make_batch([1.0])])
        with self.journal.begin() as transaction:
            rows = [transaction.append("readings", body, at_ns=1) for _ in range(count)]
        self.feed.committed(rows)

    def say(self, through: int, *, resend: bool = False, now_s: float = 100.0) -> None:
        mark = Watermark(epoch=self.journal.epoch, through=through, resend=resend)
        self.feed.heard("recorder", codec.encode(mark), now_s)

    def pump(self) -> list[int]:
        self.line.sent.clear()
        asyncio.run(self.feed.pump())
        return self.line.seqs()


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    journal = Journal.open(tmp_path / "gw.db", "gw")
    yield Kit(journal, window=8)
    journal.close()


def test_rows_go_out_in_order_up_to_the_window(kit: Kit) -> None:
    """Beyond what the reader has confirmed only a window of rows is under way."""
    kit.commit(20)
    assert kit.pump() == list(range(1, 9))
    assert kit.pump() == []
    kit.say(5)
    assert kit.pump() == list(range(9, 14))
    assert kit.line.sent[0][0] == TOPICS.log("readings", "gw")
    assert kit.reads == 0


def test_a_bus_without_room_is_asked_again(kit: Kit) -> None:
    """What the bus did not take is the first to go out when there is room."""
    kit.commit(5)
    kit.line.room = 2
    assert kit.pump() == [1, 2]
    kit.line.room = 10
    assert kit.pump() == [3, 4, 5]


def test_nothing_goes_out_without_a_link(kit: Kit) -> None:
    """Without a link rows wait."""
    kit.line.linked = False
    kit.commit(3)
    assert kit.pump() == []


def test_who_lacks_rows_gets_them_again(kit: Kit) -> None:
    """A reader that asks is sent what follows its cursor, in order."""
    kit.commit(6)
    kit.pump()
    kit.say(2, resend=True)
    assert kit.pump() == [3, 4, 5, 6]


def test_rows_of_an_earlier_life_come_from_the_disk(kit: Kit) -> None:
    """After a restart rows are read back from the journal, the same bytes."""
    kit.commit(4)
    kit.pump()
    before = list(kit.line.sent)
    again = Kit(kit.journal, window=8)
    assert again.pump() == [1, 2, 3, 4]
    assert again.line.sent == before
    assert again.reads > 0
    assert again.feed.resent == 4


def test_a_watermark_that_breaks_the_rules_changes_nothing(kit: Kit) -> None:
    """Bytes that are no watermark are refused; one that is ahead of the log is not believed."""
    kit.commit(3)
    kit.pump()
    with pytest.raises(Rejected):
        kit.feed.heard("recorder", b"{", 1.0)
    kit.say(1_000)
    assert kit.feed.feeder.prunable == 0


def test_a_damaged_row_stops_nobody(kit: Kit) -> None:
    """A row that the disk has damaged goes out empty, counted and kept in the quarantine; those after it follow."""
    kit.commit(4)
    again = Kit(kit.journal, window=8)
    kit.journal._connection.execute("UPDATE outbox SET body = X'79' || substr(body, 2) WHERE seq = 2")
    assert again.pump() == [1, 2, 3, 4]
    packs = [codec.decode_pack(payload, kind="readings", agent="gw") for _, payload in again.line.sent]
    assert [len(pack.records) for pack in packs] == [1, 0, 1, 1]
    assert (again.feed.mended, kit.journal.rejections()) == (1, {"damaged_row": 1})


def test_a_long_backlog_leaves_room_between_two_rounds(tmp_path: Path) -> None:
    """A call publishes a round and says that more is due, so that what comes in meanwhile is committed."""
    journal = Journal.open(tmp_path / "gw.db", "gw")
    kit = Kit(journal, window=10_000)
    kit.commit(3 * READ_ROWS)
    assert [len(kit.pump()) for _ in range(4)] == [READ_ROWS] * 3 + [0]
    assert asyncio.run(kit.feed.pump()) is False
    journal.close()


def test_packs_say_which_row_is_the_first_live_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage live rows go out at once, from memory; the older ones come from the disk."""
    monkeypatch.setattr("edgemesh.log.feeder.LANE_ROWS", 100)
    journal = Journal.open(tmp_path / "gw.db", "gw")
    Kit(journal, window=8).commit(200)
    kit = Kit(journal, window=8)
    kit.say(20)
    kit.commit(1)
    assert kit.pump() == [201, *range(21, 29)]
    packs = [codec.decode_pack(payload, kind="readings", agent="gw") for _, payload in kit.line.sent]
    assert {pack.live for pack in packs} == {201}
    kit.say(200)
    kit.commit(1)
    kit.pump()
    assert b'"live"' not in kit.line.sent[0][1]
    journal.close()
