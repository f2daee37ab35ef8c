"""The quarantine keeps the newest of what was rejected, capped, whatever arrives."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from edgemesh.log import quarantine
from edgemesh.log.journal import Journal
from edgemesh.log.quarantine import Quarantined


def item(number: int, *, text: str = "", payload: bytes = b"\xff\x00") -> Quarantined:
    return Quarantined(number, f"edgemesh/v1/s/ingest/d{number}{text}", "not_json", f"line 1{text}", payload)


def test_it_shows_the_newest_first(tmp_path: Path) -> None:
    """What was kept comes back as it was, newest first, also to a second process."""
    with closing(Journal.open(tmp_path / "j.db", "gw1")) as journal:
        with journal.begin() as transaction:
            for number in range(5):
                transaction.keep(item(number))
        with closing(Journal.peek(tmp_path / "j.db")) as peek:
            assert peek.quarantine(limit=2) == journal.quarantine(limit=2) == [item(4), item(3)]
        assert journal.quarantine(limit=0) == []


def test_it_is_capped(tmp_path: Path) -> None:
    """A flood of large rejects leaves the newest 1,000 in less than 10 MB, and every one is counted."""
    path = tmp_path / "j.db"
    with closing(Journal.open(path, "gw1")) as journal:
        for start in range(0, 5_000, 500):
            with journal.begin() as transaction:
                for number in range(start, start + 500):
                    transaction.keep(item(number, text="ß" * 5_000, payload=b"x" * 300_000))
        kept = journal.quarantine(limit=10**6)
        assert [entry.at_ns for entry in kept] == list(range(4_999, 3_999, -1))
        assert {len(entry.payload) for entry in kept} == {quarantine.PAYLOAD}
        assert {len(entry.detail.encode()) for entry in kept} == {quarantine.TEXT}
        assert journal.rejections() == {"not_json": 5_000}
        journal.close()
    assert path.stat().st_size < 10_000_000


def test_counters_survive(tmp_path: Path) -> None:
    """Counters by reason outlive a restart and what they counted; a rolled back rejection isn't counted."""
    with closing(Journal.open(tmp_path / "j.db", "gw1")) as journal:
        with journal.begin() as transaction:
            transaction.keep(item(1))
        with pytest.raises(ValueError, match="stop"), journal.begin() as transaction:  # noqa: PT012
            transaction.keep(item(2))
            raise ValueError("stop")
    with closing(Journal.open(tmp_path / "j.db", "gw1")) as journal:
        with journal.begin() as transaction:
            transaction.keep(Quarantined(3, "file.csv", "too_large", "", b""))
            transaction.keep(item(4))
        assert journal.rejections() == {"not_json": 2, "too_large": 1}


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\U0001f600" * 2_000, "x" * 1_023 + "ß"])
def test_any_text_can_be_kept(tmp_path: Path, text: str) -> None:
    """Topics and details from hostile bytes (NUL, half surrogates, cut characters) never make keeping fail."""
    with closing(Journal.open(tmp_path / "j.db", "gw1")) as journal:
        with journal.begin() as transaction:
            transaction.keep(Quarantined(1, text, text, text, b""))
        (kept,) = journal.quarantine(limit=1)
        assert kept.origin == kept.reason == kept.detail
        assert len(kept.origin.encode()) <= quarantine.TEXT
