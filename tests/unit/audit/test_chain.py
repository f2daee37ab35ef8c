"""The chain of the audit: whatever one change is made to it, it is found, and said where."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.audit.chain import GENESIS, MOST_FAULTS, Checkpoint, Entry, Found, Mark, append, link, walk
from tests.unit.audit.records import chain, decision

START = Mark(0, GENESIS)


def head_of(entries: list[Entry]) -> Mark:
    return Mark(entries[-1].seq, entries[-1].hash)


def faults(entries: list[Entry], head: Mark, start: Mark = START) -> list[tuple[str, int, int]]:
    return [(fault.what, fault.first, fault.last) for fault in walk(entries, start, head).faults]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30))
def test_a_chain_that_nobody_changed_is_whole(count: int) -> None:
    """Whatever its length; all entries are looked at."""
    entries = chain(count)
    assert walk(entries, START, head_of(entries)) == Found(entries=count)


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_one_bit_of_any_entry_is_found(data: st.DataObject) -> None:
    """In its body, its hash or that of the one before; the entry itself is blamed, or its neighbour by its hash."""
    entries = chain(data.draw(st.integers(1, 8)))
    head, k = head_of(entries), data.draw(st.integers(0, len(entries) - 1))
    column = data.draw(st.sampled_from(["previous", "hash", "body"]))
    before: bytes = getattr(entries[k], column)
    bit = data.draw(st.integers(0, 8 * len(before) - 1))
    entries[k] = Entry(**(entries[k]._asdict() | {column: flip(before, bit)}))
    found = faults(entries, head)
    assert any(first <= k + 1 <= last for _, first, last in found)
    assert {what for what, _, _ in found} <= {"edited", "moved"}


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_deleted_run_of_entries_is_named(data: st.DataObject) -> None:
    """Exactly those that are gone: in the middle as deleted, at either end as cut."""
    entries = chain(data.draw(st.integers(1, 12)))
    first = data.draw(st.integers(1, len(entries)))
    last = data.draw(st.integers(first, len(entries)))
    left = entries[: first - 1] + entries[last:]
    what = "deleted" if first > 1 and last < len(entries) else "cut"
    assert faults(left, head_of(entries)) == [(what, first, last)]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_entries_that_changed_places_are_named(data: st.DataObject) -> None:
    """Both of them, as moved, though each of them was once written."""
    entries = chain(data.draw(st.integers(2, 8)))
    i, j = sorted(data.draw(st.sets(st.integers(0, len(entries) - 1), min_size=2, max_size=2)))
    head = head_of(entries)
    a, b = entries[i], entries[j]
    entries[i], entries[j] = b._replace(seq=a.seq), a._replace(seq=b.seq)
    found = faults(entries, head)
    assert ("moved", a.seq, a.seq) in found
    assert ("moved", b.seq, b.seq) in found


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_an_entry_written_anew_with_its_own_hash_is_blamed(data: st.DataObject) -> None:
    """It is consistent in itself, but not what the next one, or the head, was written after."""
    entries = chain(data.draw(st.integers(1, 8)))
    head, k = head_of(entries), data.draw(st.integers(0, len(entries) - 1))
    at = Mark(k, entries[k].previous)
    entries[k] = append(at, decision=decision(999))
    assert faults(entries, head) == [("edited", k + 1, k + 1)]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.integers(1, 6))
def test_what_was_added_after_the_head_is_found(count: int, more: int) -> None:
    """Also where it fits: the head moves with every entry that the scheduler writes."""
    entries = chain(count + more)
    assert faults(entries, head_of(entries[:count])) == [("added", count + 1, count + more)]


def test_an_entry_filed_under_another_order_is_found() -> None:
    """The column by which `show` and `why` find it is checked, too."""
    entries = chain(3)
    head = head_of(entries)
    entries[1] = entries[1]._replace(order="0" * 32)
    assert faults(entries, head) == [("edited", 2, 2)]


def pruned(through: int, count: int) -> tuple[list[Entry], Mark]:
    """A chain whose entries up to one were let go in good order, and where it begins."""
    entries = chain(count)
    start = Mark(through, entries[through - 1].hash)
    entries.append(append(head_of(entries), checkpoint=Checkpoint(through=through, hash=start.hash.hex())))
    return entries[through:], start


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(1, 5))
def test_what_was_let_go_in_good_order_is_no_fault(through: int, more: int) -> None:
    """The chain begins where its newest checkpoint says."""
    entries, start = pruned(through, through + more)
    assert faults(entries, head_of(entries), start) == []


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(2, 5))
def test_a_beginning_that_no_checkpoint_tells_of_is_a_cut(through: int, more: int) -> None:
    """Whoever deletes the oldest entries and sets the beginning right is found out: nothing in the chain says so."""
    entries, start = pruned(through, through + more)
    assert faults(entries[1:], head_of(entries), Mark(start.seq + 1, entries[0].hash)) == [
        ("cut", through + 1, through + 1)
    ]
    whole = chain(more + 1)
    assert faults(whole[1:], head_of(whole), Mark(1, whole[0].hash)) == [("cut", 1, 1)]


def test_faults_without_number_are_counted_to_a_limit() -> None:
    """A file full of rubbish is no long answer."""
    entries = [Entry(number + 1, "", GENESIS, GENESIS, b"\xff") for number in range(1_000)]
    assert len(walk(entries, START, START).faults) == MOST_FAULTS


class Rubbish(NamedTuple):
    name: str
    body: Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "rubbish",
    [
        Rubbish("other order of keys", lambda body: b'{"seq":1,' + body[1:].replace(b',"seq":1', b"")),
        Rubbish("a blank", lambda body: body + b" "),
        Rubbish("an unknown key", lambda body: b'{"more":1,' + body[1:]),
        Rubbish("neither decision nor checkpoint", lambda body: b'{"seq":1}'),
        Rubbish("no UTF-8", lambda body: b"\xff\xfe"),
    ],
    ids=lambda rubbish: rubbish.name,
)
def test_only_the_one_form_of_a_body_counts(rubbish: Rubbish) -> None:
    """A body that means the same but is written otherwise is edited, even with a hash that fits."""
    entry = chain(1)[0]
    body = rubbish.body(entry.body)
    assert body != entry.body
    entry = entry._replace(body=body, hash=link(GENESIS, 1, body))
    assert faults([entry], head_of([entry])) == [("edited", 1, 1)]
