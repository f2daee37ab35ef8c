"""Reservoir: a few windows of calm rows that stand for all that came, in bounded room, the same on every replay."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.feedback.calm import ReservoirState

Floats = NDArray[np.float64]
WINDOW_ROWS = 128
"""Long enough for averages that forget to settle in a quarter of it."""
SLOTS = 16
_CHUNK_ROWS = 16


class Reservoir:
    """A uniform sample of at most 16 windows of 128 calm rows; which ones rests on the seed and their number alone.

    `fade` halves the weight of all that is there, so that older windows give way to newer ones. With 8 channels a
    window has 8 KB. `take` rows that were calm and came after each other, `interrupt` where others came between.

    >>> reservoir = Reservoir(1, seed=7)
    >>> for row in range(300 * 128):
    ...     reservoir.take([row], [[float(row)]])
    >>> len(reservoir.windows), reservoir.windows[0].shape, reservoir.state.weight
    (16, (128, 1), 299)

    Source: Vitter, ACM Transactions on Mathematical Software 1985 (algorithm R), with a hash in the place of chance.
    """

    def __init__(self, width: int, seed: int = 0, state: ReservoirState | None = None) -> None:
        """`width`: entries of a row. A state that has something goes with `restore`."""
        self.width, self.seed, self.state = width, seed, state or ReservoirState()
        self._slots: list[bytes] = []
        self._waits = b""
        self._grows: list[bytes] = []
        self._dirty: set[str] = set()

    @property
    def windows(self) -> list[Floats]:
        """The windows kept, oldest first, each 128 rows x channels (NaN: unknown)."""
        order = sorted(range(len(self._slots)), key=lambda slot: self.state.slots_ns[slot])
        return [self._table(self._slots[slot]) for slot in order]

    @property
    def recent(self) -> Floats:
        """The newest calm rows, those of the window that waits and of the one that grows; 255 at most."""
        return self._table(self._waits + b"".join(self._grows))

    def take(self, instants: Sequence[int], rows: Sequence[Sequence[float | None]]) -> None:
        """Rows that were calm. ValueError: one has another width."""
        table = np.array(rows, dtype="<f8").reshape(len(rows), -1)
        if len(rows) and table.shape[1] != self.width:
            raise ValueError(f"a row has {table.shape[1]} entries, there are {self.width} channels")
        state = self.state
        for at_ns, row in zip(instants, table, strict=True):
            state.grows_ns = state.grows_ns if state.rows else at_ns
            self._grows.append(row.tobytes())
            self._dirty.add(f"grow/{state.rows // _CHUNK_ROWS}")
            state.rows += 1
            if state.rows == WINDOW_ROWS:
                self._finish()

    def interrupt(self) -> None:
        """What came now was not calm: neither is what came just before it to be trusted."""
        if self.state.rows or self._waits:
            self._let_go()

    def forget(self, since_ns: int) -> None:
        """Drop all windows that began at this time or later."""
        self._let_go()
        kept = [slot for slot, at_ns in enumerate(self.state.slots_ns) if at_ns < since_ns]
        if len(kept) < len(self._slots):
            self._dirty.update(f"slot/{slot}" for slot in range(len(self._slots)))
            self._slots = [self._slots[slot] for slot in kept]
            self.state.slots_ns = [self.state.slots_ns[slot] for slot in kept]

    def fade(self) -> None:
        """All windows kept count half of what they did, beside those that come from now on."""
        self.state.weight = max(len(self._slots), self.state.weight // 2)

    def parts(self) -> dict[str, bytes | None]:
        """The parts that changed since the last call; None: gone. `slot/K`, `waits`, and `grow/K`, 16 rows each."""
        parts: dict[str, bytes | None] = {}
        for name in sorted(self._dirty):
            room, _, number = name.partition("/")
            if room == "slot":
                parts[name] = self._slots[int(number)] if int(number) < len(self._slots) else None
            elif room == "grow":
                first = _CHUNK_ROWS * int(number)
                parts[name] = b"".join(self._grows[first : first + _CHUNK_ROWS]) or None
            else:
                parts[name] = self._waits or None
        self._dirty.clear()
        return parts

    def save_anew(self) -> None:
        """All parts are due again."""
        self._dirty.update(f"slot/{slot}" for slot in range(len(self._slots)))
        self._dirty.update(f"grow/{chunk}" for chunk in range(-(-self.state.rows // _CHUNK_ROWS)))
        self._dirty.add("waits")

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Go on from the state and what was saved. ValueError: they do not fit together."""
        state, size = self.state, 8 * self.width
        self._slots = [parts.get(f"slot/{slot}", b"") for slot in range(len(state.slots_ns))]
        self._waits = parts.get("waits", b"") if state.waits_ns else b""
        chunks = range(-(-state.rows // _CHUNK_ROWS))
        grows = b"".join(parts.get(f"grow/{chunk}", b"") for chunk in chunks)
        whole = [*self._slots, *([self._waits] if state.waits_ns else [])]
        if any(len(window) != WINDOW_ROWS * size for window in whole) or len(grows) != state.rows * size:
            raise ValueError("calm rows are missing, or of another width")
        if len(self._slots) > SLOTS or state.rows >= WINDOW_ROWS or state.weight < len(self._slots):
            raise ValueError("there are more calm rows than are ever kept")
        self._grows = [grows[at : at + size] for at in range(0, len(grows), size)]

    def _finish(self) -> None:
        """A window is whole and calm, so the one before it is kept."""
        if self._waits:
            self._offer(self._waits, self.state.waits_ns)
        self._waits, self.state.waits_ns = b"".join(self._grows), max(1, self.state.grows_ns)
        self._grows, self.state.rows = [], 0
        self._dirty.add("waits")
        self._dirty.update(f"grow/{chunk}" for chunk in range(WINDOW_ROWS // _CHUNK_ROWS))

    def _offer(self, window: bytes, at_ns: int) -> None:
        state = self.state
        state.offered += 1
        state.weight += 1
        if len(self._slots) < SLOTS:
            slot = len(self._slots)
            self._slots.append(window)
            state.slots_ns.append(at_ns)
        else:
            slot = _draw(self.seed, state.offered) % state.weight
            if slot >= SLOTS:
                return
            self._slots[slot], state.slots_ns[slot] = window, at_ns
        self._dirty.add(f"slot/{slot}")

    def _let_go(self) -> None:
        self._dirty.add("waits")
        self._dirty.update(f"grow/{chunk}" for chunk in range(-(-self.state.rows // _CHUNK_ROWS)))
        self._waits, self._grows = b"", []
        self.state.waits_ns = self.state.rows = 0

    def _table(self, content: bytes) -> Floats:
        return np.frombuffer(content, dtype="<f8").reshape(-1, self.width)


def _draw(seed: int, number: int) -> int:
    """A number of 64 bits that looks like chance and is the same each time."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=8).digest())
