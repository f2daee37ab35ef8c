"""The witness: a small file beside a journal that remembers how far it was, so that an older copy of it is found out.

An older copy that was put back would hand out numbers again that consumers have already, and they would skip the rows.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SIZE = 256
_VERSION = "edgemesh-witness-1"


@dataclass(frozen=True, slots=True)
class Sighting:
    """The journal as it was seen last: whose, which epoch, its last row, and who wrote it.

    `writers` are the proofs of the openings of which one is the last (two of them while a file is being opened).
    `head` may be behind the journal, never ahead of it.
    """

    agent: str
    epoch: str
    head: int
    writers: tuple[str, ...]


class Witness:
    """The file `{journal}-head`. What it can't write it leaves: the journal's own disk says that louder."""

    def __init__(self, journal: Path) -> None:
        self.path = Path(f"{journal}-head")
        self._file = -1

    def read(self) -> Sighting | None:
        """What was seen last; None: nobody has written it, or the file is torn."""
        try:
            line = self.path.read_bytes()[:_SIZE]
        except OSError:
            return None
        text, _, check = line.decode("utf-8", "replace").rstrip("\n \0").rpartition(" ")
        parts = text.split(" ")
        if len(parts) != 5 or parts[0] != _VERSION or not parts[3].isdigit() or check != _check(text):
            return None
        return Sighting(parts[1], parts[2], int(parts[3]), tuple(parts[4].split(",")))

    def write(self, seen: Sighting, *, durable: bool = False) -> None:
        """Replace what is remembered. It outlives the process; with `durable` a power cut, too."""
        text = f"{_VERSION} {seen.agent} {seen.epoch} {seen.head} {','.join(seen.writers)}"
        line = f"{text} {_check(text)}".ljust(_SIZE - 1) + "\n"
        with suppress(OSError):
            if self._file < 0:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.pwrite(self._file, line.encode(), 0)
            if durable:
                os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _check(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
