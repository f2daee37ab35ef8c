"""The driver `replay` beyond its cases: finding files, rows and labels, pace and back-pressure."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemesh.drivers import replay
from edgemesh.drivers.replay import Settings, find_recordings, open_recording
from edgemesh.errors import InputError
from edgemesh.model.settings import decode_amount
from tests.contract.fake_inlet import FakeInlet, run_until

START_NS = 1_714_564_700_000_000_000
DEFAULTS = Settings(path="unused")


def record(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def seconds(count: int, step: int = 1) -> str:
    return "time,v\n" + "".join(f"{1_714_564_700 + step * n},{n}\n" for n in range(count))


def test_find_recordings(tmp_path: Path) -> None:
    """A file, a folder with folders in it, or a pattern, in natural order; other files are not for a folder."""
    for name in ("a/10.csv", "a/2.csv", "a/1.CSV", "b2/0.csv", "b10/0.csv", "a/notes.txt", "a/[x].csv"):
        record(tmp_path / name, "")

    def found(path: str) -> list[str]:
        return [file.relative_to(tmp_path).as_posix() for file in find_recordings(tmp_path / path)]

    assert found("") == ["a/[x].csv", "a/1.CSV", "a/2.csv", "a/10.csv", "b2/0.csv", "b10/0.csv"]
    assert found("a/2.csv") == ["a/2.csv"]
    assert found("a/[x].csv") == ["a/[x].csv"]
    assert found("*/0.csv") == ["b2/0.csv", "b10/0.csv"]
    assert found("a/*.txt") == ["a/notes.txt"]
    with pytest.raises(InputError, match="no such file or folder"):
        find_recordings(tmp_path / "c*")


def test_recording(tmp_path: Path) -> None:
    """Columns, labels and rows; rows can be read again, and the counts are of the latest reading."""
    file = record(
        tmp_path / "valve1/7.csv",
        "datetime;Volume Flow RateRMS;Note;Pressure;anomaly;changepoint\n"
        "2020-03-09 10:14:33;32.0;ok;0.5;0.0;1.0\n"
        "2020-03-09 10:14:33;x;ok;;1.0;\n",
    )
    recording = open_recording(file, DEFAULTS)
    assert (recording.source.device, recording.source.asset) == ("valve1-7", "valve1-7")
    assert recording.source.metrics == ("volume_flow_rate_rms", "pressure")
    assert recording.columns == ("Volume Flow RateRMS", "Pressure")
    assert recording.labels == ("anomaly", "changepoint")
    at_ns = 1_583_748_873_000_000_000
    for _ in range(2):
        rows = list(recording.rows())
        assert rows == [(at_ns, (32.0, 0.5), (0.0, 1.0)), (at_ns, (None, None), (1.0, None))]
        counts = recording.counts
        assert (counts.rows, counts.bad_values, counts.duplicates, counts.backwards) == (2, 1, 1, 0)


@pytest.mark.parametrize(
    "text",
    [
        "\ufefftime,v\r\n1714564700,1\r\n",
        "time\tv\n1714564700000\t1\n",
        "v;time\n1;2024-05-01T11:58:20Z\n",
        '"v","time"\n1,1714564700',
    ],
)
def test_dialects(tmp_path: Path, text: str) -> None:
    """Byte order marks, CRLF, tabs, quotes, another order of columns, no last line end."""
    assert list(open_recording(record(tmp_path / "a.csv", text), DEFAULTS).rows()) == [(START_NS, (1.0,), ())]


def test_endless_quote(tmp_path: Path) -> None:
    """A quote that is never closed costs the rows in it and is reported; the reading ends."""
    file = record(tmp_path / "a.csv", seconds(600) + '1714565300,"' + "x\n" * 100_000)
    reports: list[str] = []
    recording = open_recording(file, DEFAULTS)
    rows = list(recording.rows(lambda reason, origin, payload, detail: reports.append(reason)))
    assert len(rows) >= 600
    assert recording.counts.bad_rows > 0
    assert reports


def test_unreadable(tmp_path: Path) -> None:
    """A folder in the place of a file is said to be unreadable, and so is a file that went away."""
    with pytest.raises(InputError, match="can't be opened"):
        open_recording(tmp_path, DEFAULTS)
    recording = open_recording(record(tmp_path / "a.csv", seconds(3)), DEFAULTS)
    recording.path.unlink()
    with pytest.raises(InputError, match="there is no such file"):
        list(recording.rows())


def play(inlet: FakeInlet, **table: Any) -> None:
    driver = replay.create(msgspec.convert(table, Settings, dec_hook=decode_amount))
    asyncio.run(run_until(driver, inlet, lambda: False, deadline_s=10.0))


def test_max_waits_for_room(tmp_path: Path) -> None:
    """At full speed the gateway sets the pace: before each group of rows the driver waits for room."""
    inlet = FakeInlet()
    play(inlet, path=str(record(tmp_path / "a.csv", seconds(250))), speed="max", rows_per_batch=100)
    assert (inlet.groups, inlet.waits) == ([100, 100, 50], 3)
    assert [sample.values for sample in inlet.samples] == [(float(n),) for n in range(250)]
    assert len({id(sample.source) for sample in inlet.samples}) == 1


def test_pace(tmp_path: Path) -> None:
    """Rows come when they are due: 10 rows of one second at 100 times the speed take a tenth of a second."""
    inlet = FakeInlet()
    came: list[float] = []

    async def timed() -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        inlet.room = lambda *, follow: _note(came, clock() - began)  # type: ignore[method-assign, assignment, misc]
        settings = Settings(path=str(record(tmp_path / "a.csv", seconds(11))), speed=100.0)
        await asyncio.wait_for(replay.create(settings).run(inlet), 10.0)

    asyncio.run(timed())
    assert len(inlet.samples) == 11
    assert came[0] <= 0.01 + came[-1] / 2
    assert came[-1] >= 0.099


async def _note(came: list[float], at_s: float) -> None:
    came.append(at_s)


def test_long_gaps_are_shortened(tmp_path: Path) -> None:
    """One absurd time and a gap of years do not stop the playing, and stay as they are."""
    text = "time,v\n2024-01-01,1\n2199-01-01,2\n2024-01-02,3\n2030-01-01,4\n"
    inlet = FakeInlet()
    play(inlet, path=str(record(tmp_path / "a.csv", text)), speed=1.0, longest_wait="10ms")
    assert [sample.values for sample in inlet.samples] == [(1.0,), (2.0,), (3.0,), (4.0,)]
    assert inlet.samples[1].at_ns - inlet.samples[0].at_ns > 170 * 365 * 86_400 * 10**9


def test_all_are_looked_at_first(tmp_path: Path) -> None:
    """A broken file among many is found before the first row is played."""
    record(tmp_path / "1.csv", seconds(5))
    record(tmp_path / "2.csv", "")
    inlet = FakeInlet()
    with pytest.raises(InputError, match=r"2\.csv: the file is empty"):
        play(inlet, path=str(tmp_path), speed="max")
    assert inlet.samples == []


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"path": ""}, "`path` must name"),
        ({"path": "x", "speed": 0.0}, "> 0"),
        ({"path": "x", "speed": "fast"}, "Invalid enum value 'fast'"),
        ({"path": "x", "time_format": "iso"}, "`time_format` is one of"),
        ({"path": "x", "separator": ",", "decimal": ","}, "can't both be a comma"),
        ({"path": "x", "device": "{name}"}, "`device` uses {name}, known here: folder, stem"),
        ({"path": "x", "rows_per_batch": 0}, ">= 1"),
        ({"path": "x", "metrics": {"a b": "c"}}, "matching regex"),
    ],
)
def test_refused_settings(table: dict[str, Any], problem: str) -> None:
    """Wrong settings are refused when they are loaded, in words."""
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(table, Settings, dec_hook=decode_amount)
