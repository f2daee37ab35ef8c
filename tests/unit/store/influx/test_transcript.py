"""The transcript and the transfer: what is taken out of a history later is what its mirror has written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.errors import InputError, StoreError
from edgemesh.launch.history_import import Bookmark
from edgemesh.store.archive import Archive, Selection
from edgemesh.store.forms import COLUMNS
from edgemesh.store.influx.spool import Lane
from edgemesh.store.influx.transcript import Transcript
from edgemesh.store.influx.transfer import (
    ORDER,
    Chunk,
    Mark,
    archive_chunks,
    file_chunks,
    table_chunks,
    transfer,
)
from edgemesh.store.influx.verdict import Reply
from edgemesh.store.schema import MINUTE_NS
from edgemesh.store.table_files import Line, read_lines
from tests.unit.store.influx.parser import Parsed, Point, parse
from tests.unit.store.influx.test_mirror import (
    SECOND_NS,
    START_NS,
    Recorder,
    alerts,
    batch,
    make_alert,
    make_order,
    orders,
)
from tests.unit.store.test_rollup_laws import Given, batches, make_packs

HEAD = [column.name for column in COLUMNS["raw"]]
Stored = dict[tuple[str, tuple[tuple[str, str], ...], int], dict[str, Parsed]]


def stored(points: Sequence[Point]) -> Stored:
    """What a server holds after these points: fields of the same point are put together, the last value counts."""
    held: Stored = {}
    for point in points:
        fields = {name: value for name, value in point.fields.items() if name != "late"}
        held.setdefault((point.measurement, tuple(sorted(point.tags.items())), point.at_ns), {}).update(fields)
    for fields in held.values():
        if fields.get("quality") == 0:  # the same as none: good
            del fields["quality"]
    return held


def chunks_of(path: Path, *, max_series: int = 1_000, begin: Mark | None = None) -> list[Chunk]:
    with Archive(path) as archive:
        transcript, every = Transcript("hall", max_series=max_series), Selection()
        try:
            found = archive_chunks(archive, transcript, ORDER, archive.select(every), every, begin=begin)
            return list(found)
        finally:
            transcript.close()


def lines_of(path: Path, *, max_series: int = 1_000) -> list[str]:
    return [line.decode() for chunk in chunks_of(path, max_series=max_series) for line in chunk.lines]


def points_of(path: Path, *, max_series: int = 1_000) -> list[Point]:
    return [parse(line) for line in lines_of(path, max_series=max_series)]


def all_sent(recorder: Recorder) -> list[Point]:
    recorder.trim(START_NS + 200 * MINUTE_NS)
    return [point for lane in Lane for point in recorder.sent(lane)]


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Callable[..., Recorder]]:
    made: list[Recorder] = []

    def make(**options: int) -> Recorder:
        made.append(Recorder(tmp_path / "recorder.db", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(batches(), max_size=8), st.lists(st.integers(1, 3), max_size=4))
def test_it_is_what_the_mirror_has_written(some: list[Given], sizes: list[int]) -> None:
    """Whatever came, in whatever order: a server that was sent the export holds what one holds that was mirrored."""
    with tempfile.TemporaryDirectory() as folder:
        one = Recorder(Path(folder) / "recorder.db")
        try:
            for pack in make_packs(some, sizes):
                one.write(pack)
            mirrored = stored(all_sent(one))
            assert stored(points_of(Path(folder) / "recorder.db")) == mirrored
        finally:
            one.close()


def test_live_readings_are_the_same_to_the_letter(recorder: Callable[..., Recorder]) -> None:
    """Not only the same points: the same text, field by field, for readings, roll-ups, alerts and orders."""
    one = recorder()
    one.write(one.readings(batch((0, 1, 61), (1.5, 0.1, -2e-30))), alerts(make_alert()), orders(make_order()))
    one.trim(START_NS + 200 * MINUTE_NS)
    bodies = []
    for lane in Lane:
        request = one.reader.take(lane, one.places[lane], 5_000)
        bodies += request.body.decode().split("\n") if request else []
    assert len(bodies) == 3 + 2 + 3
    assert sorted(lines_of(one.path)) == sorted(bodies)


def test_versions_that_meet_keep_the_places_of_the_mirror(recorder: Callable[..., Recorder]) -> None:
    """Two orders at one instant in one series are moved by 1 ns in the same way, also when the mirror never was."""
    one = recorder()
    records = [make_order(), make_order(2), make_order(3)]
    one.write(orders(*records))
    mirrored = [(point.at_ns, point.fields["version"]) for point in one.sent(Lane.EVENTS)]
    first_ns = mirrored[0][0]
    assert mirrored == [(first_ns, 1), (first_ns + 1, 2), (first_ns + 2, 3)]
    exported = [(point.at_ns, point.fields["version"]) for point in points_of(one.path)]
    assert exported == mirrored
    one.connection.execute("DELETE FROM influx_place")
    assert [(point.at_ns, point.fields["version"]) for point in points_of(one.path)] == mirrored


def test_places_stay_when_those_before_are_forgotten(recorder: Callable[..., Recorder]) -> None:
    """A version whose neighbour is past its age is where the mirror has put it."""
    one = recorder()
    one.write(orders(make_order(), make_order(2)))
    mirrored = one.sent(Lane.EVENTS)
    one.connection.execute("DELETE FROM workorder_version WHERE version = 1")
    assert points_of(one.path) == mirrored[1:]


def test_the_places_of_what_is_not_asked_for_count(recorder: Callable[..., Recorder]) -> None:
    """A version that is left out holds its place all the same, so that the others get theirs."""
    one = recorder()
    one.write(alerts(make_alert(), make_alert(2, at_s=5.0)))
    with Archive(one.path) as archive:
        transcript = Transcript("hall")
        only = Selection(start_ns=START_NS + 5 * SECOND_NS + 1)
        assert list(archive_chunks(archive, transcript, ("alerts",), {}, only)) == []
        transcript.close()
    assert [point.at_ns - START_NS for point in points_of(one.path)] == [5 * SECOND_NS, 5 * SECOND_NS + 1]


def test_series_beyond_the_limit_go_where_the_mirror_put_them(recorder: Callable[..., Recorder]) -> None:
    """A series that the mirror kept out is in `reading_overflow` of the export, too, and makes no second point."""
    one = recorder(max_series=1)
    one.write(one.readings(batch((0, 1), (1.0, 2.0)), batch((0, 1), (3.0, 4.0), device="p2")))
    mirrored = all_sent(one)
    assert {point.measurement for point in mirrored} == {"reading", "reading_overflow", "reading_1m", "reading_10m"}
    assert stored(points_of(one.path, max_series=1)) == stored(mirrored)


def test_readings_and_alerts_of_a_clock_in_doubt_stay(recorder: Callable[..., Recorder]) -> None:
    """What has no time that can be believed is not sent at a wrong one."""
    one = recorder()
    one.write(one.readings(batch((0,), (1.0,), clock=7)), alerts(make_alert(clock=7)))
    assert lines_of(one.path) == []


def test_it_goes_on_where_it_was(recorder: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    """From the mark of any chunk on the rest is the same; nothing after it is left out."""
    monkeypatch.setattr("edgemesh.store.influx.transfer.CHUNK_LINES", 3)
    one = recorder()
    one.write(one.readings(*(batch((minute * 60, minute * 60 + 1), (1.0, 2.0)) for minute in range(15))))
    one.write(orders(make_order()))
    chunks = chunks_of(one.path)
    marks = [chunk.mark for chunk in chunks]
    assert marks[0] is None  # an order: only all of them again
    assert {mark[0] for mark in marks if mark} == {"raw", "1min", "10min"}
    for number, chunk in enumerate(chunks[1:], 1):
        after = {line for each in chunks[number + 1 :] for line in each.lines}
        again = {line for each in chunks_of(one.path, begin=chunk.mark) for line in each.lines}
        assert after <= again
    last = {line for each in chunks_of(one.path, begin=chunks[-1].mark) for line in each.lines}
    assert len(last) < 5


class Server:
    """A server in memory: `answer` says what becomes of a request."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.answers: list[Reply] = []
        self.bad = b""
        self.most = 10**9

    def write(self, bucket: str, body: bytes) -> Reply:
        if self.answers:
            return self.answers.pop(0)
        lines = body.split(b"\n")
        if len(lines) > self.most:
            return Reply(413)
        if self.bad and self.bad in lines:
            return Reply(400, "unable to parse")
        self.lines += [(bucket, line.decode()) for line in lines]
        return Reply(204)

    def close(self) -> None:
        self.closed = True


BUCKETS = {Lane.EVENTS: "plant", Lane.READINGS: "plant", Lane.ROLLUPS: "long"}
LINES = [f"reading,device=p1 value={number}.0 {number}".encode() for number in range(100)]


def in_chunks(*sizes: int, lane: Lane = Lane.READINGS) -> Iterator[Chunk]:
    start = 0
    for size in sizes:
        yield Chunk(lane, LINES[start : start + size], ("raw", start + size))
        start += size


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=3), st.integers(1, 7), st.integers(1, 50))
def test_every_line_goes_once_in_order(sizes: list[int], most: int, limit: int) -> None:
    """However chunks, requests and what the server takes at once are cut: every line once, in order."""
    server = Server()
    server.most = most
    outcome = transfer(in_chunks(*sizes), lambda: server, BUCKETS, max_lines=limit)
    assert [line.encode() for _, line in server.lines] == LINES[: sum(sizes)]
    assert (outcome.stored, outcome.refused) == (sum(sizes), 0)


def test_a_bad_line_costs_only_itself() -> None:
    """The rest is stored, and it is said how many were refused and why."""
    server = Server()
    server.bad = LINES[4]
    outcome = transfer(in_chunks(10, 10), lambda: server, BUCKETS)
    assert [line.encode() for _, line in server.lines] == [*LINES[:4], *LINES[5:20]]
    assert (outcome.stored, outcome.refused, outcome.reasons) == (19, 1, ("400 unable to parse",))


def test_it_waits_for_a_server_and_then_gives_up() -> None:
    """A server that is down for a moment is waited for; one that stays so is an error, and the marks say how far."""
    server, now_s, marks = Server(), [0.0], []

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    def tell(stored: int, waiting: str, mark: Mark | None) -> None:
        marks.append(mark)

    server.answers = [Reply(503), Reply(0, "connection refused")]
    transfer(in_chunks(5, 5), lambda: server, BUCKETS, clock=lambda: now_s[0], sleep=sleep, tell=tell)
    assert len(server.lines) == 10
    assert now_s[0] > 1.0
    assert marks[-1] == ("raw", 10)

    server.answers = [Reply(204), *([Reply(503)] * 1_000)]
    with pytest.raises(StoreError, match="503"):
        transfer(in_chunks(5, 5), lambda: server, BUCKETS, clock=lambda: now_s[0], sleep=sleep, tell=tell)
    assert marks[-1] == ("raw", 5)


def test_a_refusal_of_ours_ends_it() -> None:
    """A wrong login or bucket is said at once."""
    server = Server()
    server.answers = [Reply(404, "database not found")]
    with pytest.raises(InputError, match="404 database not found"):
        transfer(in_chunks(5), lambda: server, BUCKETS)
    assert server.closed


def test_each_lane_has_its_bucket(recorder: Callable[..., Recorder]) -> None:
    """Roll-ups go into the bucket of roll-ups, the rest into the other."""
    one, server = recorder(), Server()
    one.write(one.readings(batch((0, 1), (1.0, 2.0))), orders(make_order()))
    transfer(iter(chunks_of(one.path)), lambda: server, BUCKETS)
    found = {(bucket, line.partition(",")[0]) for bucket, line in server.lines}
    assert found == {
        ("plant", "reading"),
        ("plant", "workorder"),
        ("long", "reading_1m"),
        ("long", "reading_10m"),
    }


def test_a_file_is_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line once; comments and empty lines are none; from a mark on it goes on there; roll-ups are told apart."""
    monkeypatch.setattr("edgemesh.store.influx.transfer.CHUNK_LINES", 4)
    file = tmp_path / "all.lp"
    rollup = b"reading_1m,device=p1 count=1i 60"
    file.write_bytes(b"# of May\n\n" + b"\n".join([*LINES[:6], rollup, *LINES[6:9]]))
    chunks = list(file_chunks(file))
    assert sorted(line for chunk in chunks for line in chunk.lines) == sorted([*LINES[:9], rollup])
    assert [chunk.lines for chunk in chunks if chunk.lane is Lane.ROLLUPS] == [(rollup,)]
    rest = [line for chunk in file_chunks(file, chunks[0].mark) for line in chunk.lines]
    assert sorted(rest) == sorted([*LINES[4:9], rollup])


def test_a_table_goes_on_after_the_rows_that_were_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the mark of any chunk on come exactly the rows after it, also where a minute was cut into parts."""
    monkeypatch.setattr("edgemesh.store.influx.transfer.CHUNK_LINES", 3)
    monkeypatch.setattr("edgemesh.store.influx.transfer.STEP_ROWS", 2)
    lines = [Line(START_NS + n * 17 * SECOND_NS, "g1", "pump-1", "p1", "flow", "1", float(n), 0) for n in range(20)]

    def chunks(begin: Mark | None = None) -> list[Chunk]:
        transcript = Transcript("hall")
        try:
            return list(table_chunks(iter(lines), transcript, begin))
        finally:
            transcript.close()

    every = [line for chunk in chunks() for line in chunk.lines]
    assert [parse(line.decode()).fields["value"] for line in every] == [float(n) for n in range(20)]
    sent = 0
    for chunk in chunks():
        sent += len(chunk.lines)
        assert [line for each in chunks(chunk.mark) for line in each.lines] == every[sent:]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has not the columns"),
        ("time,count\n", "has not the columns"),
        (",".join(HEAD) + "\n2024-05-01T00:00:00Z,g,a,d,m,1,x,0\n", "line 2 is no reading"),
        (",".join(HEAD) + "\n2024-05-01T00:00:00Z,g,a,d,m,1,nan,0\n", "line 2 is no reading"),
        (",".join(HEAD) + "\n2024-05-01T00:00:00Z,g,,d,m,1,1,0\n", "line 2 is no reading"),
        (",".join(HEAD) + "\n2024-05-01T00:00:00Z,g,a,d,m,1,1,7\n", "line 2 is no reading"),
        (",".join(HEAD) + "\n2024-05-01,g,a\n", "line 2 is no reading"),
    ],
)
def test_a_table_that_is_none_is_said(tmp_path: Path, content: str, said: str) -> None:
    """With the line, before anything of it is sent at a wrong time or under a wrong name."""
    file = tmp_path / "x.csv"
    file.write_text(content)
    with pytest.raises(InputError, match=said):
        list(read_lines(file))


@pytest.mark.parametrize("content", [b"time,value\n1,2\n", b"\x00\x01\xff", b"x" * 2_000_000, b"a b\n"])
def test_what_is_no_line_protocol_is_said(tmp_path: Path, content: bytes) -> None:
    """Another file is not sent to a server."""
    file = tmp_path / "odd"
    file.write_bytes(content)
    with pytest.raises(InputError, match="is no line protocol"):
        list(file_chunks(file))


def test_a_bookmark_is_for_one_source(tmp_path: Path) -> None:
    """It gives back the last place of the same source, nothing for another, and nothing once all is done."""
    file = tmp_path / "x.import"
    Bookmark(file, "1").keep(("raw", 7))
    assert Bookmark(file, "1").read() == ("raw", 7)
    assert Bookmark(file, "2").read() is None
    file.write_bytes(b"{")
    assert Bookmark(file, "1").read() is None
    Bookmark(file, "1").remove()
    assert list(tmp_path.iterdir()) == []
