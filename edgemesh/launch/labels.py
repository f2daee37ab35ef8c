"""Labels of recordings: columns of the file itself, or windows in a JSON file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edgemesh.errors import InputError

WINDOW_FILES = ("windows.json", "combined_windows.json", "labels/combined_windows.json")
_UPWARDS = 3


def find_windows(recording: Path) -> list[tuple[int, int]] | None:
    """The labelled windows of a recording in ns UTC, both ends included; None where no file names it.

    Looks for `windows.json` in the recording's folder and up to two above it: an object of relative path to a list of
    `[start, end]` texts, as the Numenta Anomaly Benchmark keeps them. InputError when such a file can't be read.
    """
    for folder in list(recording.resolve().parents)[:_UPWARDS]:
        for name in WINDOW_FILES:
            file = folder / name
            if file.is_file():
                windows = _read(file)
                key = recording.resolve().relative_to(folder).as_posix()
                if key in windows:
                    return [(_instant(start), _instant(end)) for start, end in windows[key]]
    return None


def label_rows(times_ns: Sequence[int], windows: Sequence[tuple[int, int]]) -> list[bool]:
    """One label per row: whether its time is inside a window."""
    return [any(start <= at_ns <= end for start, end in windows) for at_ns in times_ns]


def _read(file: Path) -> dict[str, list[tuple[datetime, datetime]]]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, list[tuple[datetime, datetime]]])
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"the label windows can't be read: {error}", source=str(file)) from None


def _instant(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = aware.timestamp()
    return int(seconds) * 1_000_000_000 + aware.microsecond * 1000
