"""Plain lines: what a person reads where there is no terminal, in a journal or a pipe."""

from __future__ import annotations

from datetime import datetime
from typing import TextIO

from edgemesh.console.snapshot import Snapshot


def local_time(at_ns: int) -> str:
    """`HH:MM:SS` in the time zone of this machine."""
    return datetime.fromtimestamp(at_ns // 1_000_000_000).strftime("%H:%M:%S")


class LineView:
    """Prints one line for each thing that happened since the last update, and for each loss of the broker.

    Same shape as the terminal's view: `open`, `update`, `close`. A stream that was closed is not written to any more.
    """

    def __init__(self, stream: TextIO, title: str = "") -> None:
        self._stream, self._title = stream, title
        self._number = 0
        self._lost_at_ns: int | None = None
        self._said_lost = False
        self._flowing = False

    def open(self) -> None:
        """Print the title, if there is one."""
        if self._title:
            self._write(self._title)

    def update(self, snapshot: Snapshot) -> None:
        """Print what is new in the snapshot; nothing new, no line."""
        now = local_time(snapshot.at_ns)
        self._tell_link(snapshot, now)
        if snapshot.totals.readings and not self._flowing:
            self._flowing = True
            self._write(f"{now}  {'readings':<12}  are coming in from {len(snapshot.gateways)} gateway(s)")
        for event in snapshot.story:
            if event.number > self._number:
                self._number = event.number
                self._write(f"{local_time(event.at_ns)}  {event.mark:<12}  {event.subject}: {event.text}")

    def _tell_link(self, snapshot: Snapshot, now: str) -> None:
        """A link that is back within a second is not worth a line."""
        if snapshot.linked:
            if self._said_lost:
                self._write(f"{now}  {'broker':<12}  is back")
            self._lost_at_ns, self._said_lost = None, False
            return
        if self._lost_at_ns is None:
            self._lost_at_ns = snapshot.at_ns
        if snapshot.at_ns - self._lost_at_ns >= 1_000_000_000 and not self._said_lost:
            self._said_lost = True
            self._write(f"{now}  {'broker':<12}  can't be reached, trying again")

    def close(self) -> None:
        """Nothing is left to say."""

    def _write(self, line: str) -> None:
        if not self._stream.closed:
            self._stream.write(line + "\n")
            self._stream.flush()
