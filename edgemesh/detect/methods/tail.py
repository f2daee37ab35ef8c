"""Tails: the newest rows of something that goes on, kept as few small parts of which one or two change at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Tail:
    """The newest `capacity` rows as raw little-endian float64 in a ring of parts of `part_rows` rows each.

    >>> tail = Tail(capacity=5, part_rows=2)
    >>> rows = np.arange(9.0)[:, None]
    >>> parts = tail.parts(rows[:5], seen=5, before=0)
    >>> parts |= tail.parts(rows[2:7], seen=7, before=5)
    >>> tail.join(parts, seen=7, kept=5, width=1).ravel().tolist(), sorted(parts)
    ([2.0, 3.0, 4.0, 5.0, 6.0], [0, 1, 2, 3])
    """

    def __init__(self, capacity: int, part_rows: int) -> None:
        self.part_rows = part_rows
        self.ring = -(-capacity // part_rows) + 1

    def parts(self, rows: Floats, seen: int, before: int) -> dict[int, bytes]:
        """The parts that changed since `before` rows had been seen; `rows` are the newest of the `seen` ones."""
        first = seen - len(rows)
        numbers = range(max(before, first) // self.part_rows, -(-seen // self.part_rows))
        found = {}
        for number in numbers:
            begin, end = number * self.part_rows, (number + 1) * self.part_rows
            found[number % self.ring] = rows[max(0, begin - first) : end - first].astype("<f8").tobytes()
        return found

    def join(self, parts: Mapping[int, bytes], seen: int, kept: int, width: int) -> Floats:
        """The newest `kept` rows. Raise ValueError when parts are missing or of another width."""
        numbers = range(max(0, seen - kept) // self.part_rows, -(-seen // self.part_rows))
        if len(numbers) > self.ring or any(number % self.ring not in parts for number in numbers):
            raise ValueError("a part of the newest rows is missing")
        content = b"".join(parts[number % self.ring] for number in numbers)
        rows = np.frombuffer(content, dtype="<f8").astype(np.float64).reshape(-1, width)
        if len(rows) < kept:
            raise ValueError("the newest rows are not complete")
        return rows[len(rows) - kept :]

    def save(self, rows: Floats, seen: int, before: int) -> dict[str, bytes]:
        """`parts` under the names that they are saved by: `tail/K`."""
        return {f"tail/{number}": content for number, content in self.parts(rows, seen, before).items()}

    def load(self, parts: Mapping[str, bytes], seen: int, kept: int, width: int) -> Floats:
        """`join` out of all parts that were saved, by their names."""
        tails = {int(name[5:]): content for name, content in parts.items() if name.startswith("tail/")}
        return self.join(tails, seen, kept, width)
