"""Laws of the history: roll-ups are what brute force says, and twice is once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch, Quality
from edgemesh.store.schema import MINUTE_NS
from edgemesh.store.sink import HistorySink

Given = tuple[str, tuple[int, ...], tuple[tuple[float | None, ...], ...], tuple[tuple[Quality, ...], ...] | None]
"""Device, times, two columns of values, and their qualities."""

Held = dict[tuple[str, str], dict[int, tuple[float, int]]]

METRICS = ("a", "b")
LAW = settings(max_examples=60, deadline=None)
START_MINUTE = 28_000_000


@st.composite
def batches(draw: st.DrawFn) -> Given:
    """A batch in a span of 25 minutes with few distinct times, so that they often meet."""
    size = draw(st.integers(1, 6))
    offsets = draw(st.lists(st.integers(0, 100), min_size=size, max_size=size))
    if draw(st.booleans()):
        offsets.sort()
    # Values are small integers, so that sums are exact in any order.
    column = st.lists(st.none() | st.integers(-50, 50).map(float), min_size=size, max_size=size).map(tuple)
    how = st.lists(st.sampled_from(Quality), min_size=size, max_size=size).map(tuple)
    return (
        draw(st.sampled_from(("p1", "p2"))),
        tuple(START_MINUTE * MINUTE_NS + offset * 15_000_000_000 for offset in offsets),
        (draw(column), draw(column)),
        draw(st.none() | st.tuples(how, how)),
    )


def make_packs(given: Sequence[Given], sizes: Sequence[int]) -> list[Readings]:
    """The batches in packs of these sizes, in order."""
    packs, rest, sizes = [], list(given), [*sizes, len(given)]
    for seq, size in enumerate(sizes, start=1):
        records = tuple(
            Batch(device=device, asset="x", metrics=METRICS, units=("1", "1"), at_ns=times, values=values, quality=how)
            for device, times, values, how in rest[:size]
        )
        rest = rest[size:]
        packs.append(Readings(agent="g", epoch="0", seq=seq, lowest=1, at_ns=1, records=records))
    return packs


def brute_force(given: Sequence[Given]) -> Held:
    held: Held = {}
    for device, times, columns, how in given:
        for metric, column, qualities in zip(METRICS, columns, how or (None, None), strict=True):
            for position, (at_ns, value) in enumerate(zip(times, column, strict=True)):
                if value is not None:
                    quality = int(qualities[position]) if qualities else 0
                    held.setdefault((device, metric), {})[at_ns] = (value, quality)
    return held


def brute_rollups(held: Held, width_ns: int) -> set[tuple[object, ...]]:
    found: set[tuple[object, ...]] = set()
    for (device, metric), readings in held.items():
        good = {at_ns: value for at_ns, (value, quality) in readings.items() if quality < 2}
        for bucket in {at_ns // width_ns for at_ns in good}:
            mine = {at_ns: value for at_ns, value in good.items() if at_ns // width_ns == bucket}
            values, last = list(mine.values()), max(mine)
            found.add((device, metric, bucket, len(mine), sum(values), min(values), max(values), mine[last], last))
    return found


def read_rollups(connection: sqlite3.Connection, table: str) -> set[tuple[object, ...]]:
    return set(
        connection.execute(
            f"SELECT device, metric, bucket, n, total, low, high, last, last_at_ns FROM {table}"
            " JOIN series ON id = series"
        )
    )


def read_all(connection: sqlite3.Connection) -> tuple[Held, set[tuple[object, ...]], set[tuple[object, ...]]]:
    held: Held = {}
    for device, metric, minute, at_ns, value, quality in connection.execute(
        "SELECT device, metric, minute, at_ns, value, quality FROM reading JOIN series ON id = series"
    ):
        assert minute == at_ns // MINUTE_NS
        held.setdefault((device, metric), {})[at_ns] = (value, quality)
    return held, read_rollups(connection, "rollup_1min"), read_rollups(connection, "rollup_10min")


def expect(given: Sequence[Given]) -> tuple[Held, set[tuple[object, ...]], set[tuple[object, ...]]]:
    held = brute_force(given)
    return held, brute_rollups(held, MINUTE_NS), brute_rollups(held, 10 * MINUTE_NS)


def opened(sink: HistorySink) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("BEGIN")
    sink.prepare(connection)
    connection.execute("COMMIT")
    return connection


def commit(connection: sqlite3.Connection, sink: HistorySink, packs: Sequence[Readings]) -> None:
    connection.execute("BEGIN")
    sink.write(connection, packs)
    connection.execute("COMMIT")


class Cut(list[Readings]):
    """Packs after which reading on fails, in the middle of a write."""

    def __iter__(self) -> Iterator[Readings]:
        yield from super().__iter__()
        raise MemoryError


sizes = st.lists(st.integers(0, 4), max_size=4)
many = st.lists(batches(), min_size=1, max_size=10)


@LAW
@given(many, sizes, sizes, st.booleans())
def test_rollups_are_brute_force(given: list[Given], in_packs: list[int], in_writes: list[int], again: bool) -> None:
    """Whatever the order of times and however batches are split into packs and writes, and with a restart between."""
    sink = HistorySink()
    with closing(opened(sink)) as connection:
        packs = make_packs(given, in_packs)
        for size in [*in_writes, len(packs)]:
            commit(connection, sink, packs[:size])
            packs = packs[size:]
            if again:
                sink = HistorySink()
                sink.prepare(connection)
        assert read_all(connection) == expect(given)


@LAW
@given(many, sizes)
def test_twice_is_once(given: list[Given], in_packs: list[int]) -> None:
    """Packs that come a second time change neither readings nor roll-ups, and are counted."""
    sink, packs = HistorySink(), make_packs(given, in_packs)
    with closing(opened(sink)) as connection:
        commit(connection, sink, packs)
        state = dict(connection.execute("SELECT name, value FROM history_state"))
        commit(connection, sink, packs)
        assert read_all(connection) == expect(given)
        again = dict(connection.execute("SELECT name, value FROM history_state"))
        readings = state["readings"]
        assert again["readings"] == 2 * readings
        assert again["duplicates"] - state["duplicates"] == readings
        stored = connection.execute("SELECT count(*) FROM reading").fetchone()[0]
        assert stored == again["readings"] - again["duplicates"]


@LAW
@given(many, many, many, st.booleans())
def test_rollback(before: list[Given], first: list[Given], second: list[Given], midway: bool) -> None:
    """A write that was rolled back leaves nothing behind, neither in the tables nor in the sink's memory."""
    sink = HistorySink()
    with closing(opened(sink)) as connection:
        commit(connection, sink, make_packs(before, []))
        connection.execute("BEGIN")
        broken = make_packs(first, [])
        if midway:
            with pytest.raises(MemoryError):
                sink.write(connection, Cut(broken))
        else:
            sink.write(connection, broken)
        connection.execute("ROLLBACK")
        commit(connection, sink, make_packs(second, []))
        assert read_all(connection) == expect([*before, *second])
