"""Chunks: the rows of a warm-up as parts to save, of which only those that changed are written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

CHUNK_ROWS = 64


class Chunks:
    """The parts `warmup/K`: rows 64 K to 64 K + 63 as raw little-endian float64.

    >>> chunks = Chunks()
    >>> chunks.touch(0, 100)
    >>> parts = chunks.parts([[float(row), 0.5] for row in range(100)])
    >>> sorted(parts), Chunks.join(parts, 100, width=2)[99]
    (['warmup/0', 'warmup/1'], [99.0, 0.5])
    """

    def __init__(self) -> None:
        self._dirty: set[int] = set()

    def touch(self, first: int, rows: int) -> None:
        """Of `rows` rows those from `first` on have changed, or are gone."""
        self._dirty.update(range(first // CHUNK_ROWS, _count(rows)))

    def parts(self, rows: Sequence[Sequence[float]]) -> dict[str, bytes | None]:
        """The parts that changed since the last call; None: gone."""
        parts: dict[str, bytes | None] = {}
        for k in sorted(self._dirty):
            part = rows[CHUNK_ROWS * k : CHUNK_ROWS * (k + 1)]
            parts[f"warmup/{k}"] = np.array(part, dtype="<f8").tobytes() if part else None
        self._dirty.clear()
        return parts

    @staticmethod
    def join(parts: Mapping[str, bytes | None], rows: int, width: int) -> list[list[float]]:
        """The rows again. ValueError: some are missing, or of another width."""
        chunks = [parts.get(f"warmup/{k}") for k in range(_count(rows))]
        if any(chunk is None for chunk in chunks):
            raise ValueError("warm-up rows are missing")
        flat = np.frombuffer(b"".join(chunk or b"" for chunk in chunks), dtype="<f8")
        table: list[list[float]] = flat.reshape(rows, width).tolist()
        return table


def _count(rows: int) -> int:
    return -(-rows // CHUNK_ROWS)
