"""The contract of stores: where the recorder puts what it follows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Protocol

from edgemesh.model.packs import Pack


class Sink(Protocol):
    """Keeps packs. What it writes is part of the recorder's own transaction, so nothing is kept twice or half."""

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create what the sink needs in the recorder's database; called once after each opening."""
        ...

    def write(self, connection: sqlite3.Connection, packs: Sequence[Pack]) -> None:
        """Write the packs inside the open transaction; never commits. Each pack comes exactly once."""
        ...

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Forget, inside the open transaction, some of what is older than the sink keeps; a short step at a time."""
        ...
