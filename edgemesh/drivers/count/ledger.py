"""The ledger of a counting source: what it put into the gateway, and what the gateway accepted.

One line per group, appended as it happens and in the operating system's hands at once, so that a killed process leaves
it whole: `put FIRST COUNT STEADY` before the gateway has the samples, `accepted FIRST COUNT STEADY` once it has
committed them. STEADY is when they were put, in ns of a clock that nobody sets: so their true time can be told.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgemesh.errors import DriverError


class Span(NamedTuple):
    """Samples `first` to `first + size - 1`; `accepted` False: only put. `steady_ns`: when, 0 if nobody said."""

    first: int
    size: int
    accepted: bool
    steady_ns: int = 0


def steady_ns() -> int:
    """Now, by the clock of the machine that nobody sets."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Ledger:
    """Appends to the file; an empty path keeps nothing. DriverError when it can't be written."""

    def __init__(self, path: str) -> None:
        self._file = -1
        if path:
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            except OSError as error:
                raise DriverError(f"the ledger {path} can't be opened: {error.strerror}") from error

    def write(self, span: Span) -> None:
        """Append one line."""
        if self._file >= 0:
            word = "accepted" if span.accepted else "put"
            os.write(self._file, f"{word} {span.first} {span.size} {span.steady_ns}\n".encode())

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_ledger(path: Path) -> Iterator[Span]:
    """The lines of a ledger; a line that was cut off by a kill is left out."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        word, *numbers = line.split(" ")
        if word in ("put", "accepted") and len(numbers) in (2, 3) and all(map(str.isdigit, numbers)):
            first, size, *steady = map(int, numbers)
            yield Span(first, size, word == "accepted", *steady)


def next_sample(path: Path) -> int:
    """The first sample that was never put."""
    return max((span.first + span.size for span in read_ledger(path)), default=0)
