"""What an executor must not forget: the highest epoch, the orders that it has begun, and how those ended."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REMEMBERED = 10_000
"""Finished orders that are kept; the oldest go first."""


class MemoryFault(ValueError):
    """A memory file that cannot be trusted; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An answer given once and for all: under which attempt, when (`at_ns`), with which note, and what was found."""

    answer: str
    attempt: int
    at_ns: int
    note: str = ""
    verdict: str = ""


@dataclass(slots=True)
class Memory:
    """Fence and history of one executor. `begun` and `settled` are keyed by order id."""

    epoch: int = 0
    begun: dict[str, Mark] = field(default_factory=dict)
    settled: dict[str, Mark] = field(default_factory=dict)

    def settle(self, order: str, mark: Mark) -> None:
        """Records the end of an order."""
        self.settled[order] = mark
        while len(self.settled) > REMEMBERED:
            oldest = next(iter(self.settled))
            del self.settled[oldest]
            self.begun.pop(oldest, None)

    def to_json(self) -> str:
        """The memory as one JSON object."""
        return json.dumps(
            {
                "v": 1,
                "epoch": self.epoch,
                "begun": {order: _row(mark) for order, mark in self.begun.items()},
                "settled": {order: _row(mark) for order, mark in self.settled.items()},
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> "Memory":
        """Undoes `to_json`. Raises ValueError for anything else."""
        try:
            body: dict[str, Any] = json.loads(text)
            if body["v"] != 1:
                raise ValueError("not version 1")
            return cls(
                int(body["epoch"]),
                {str(order): _mark(row) for order, row in body["begun"].items()},
                {str(order): _mark(row) for order, row in body["settled"].items()},
            )
        except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"not what was saved: {error!r}") from error


def _row(mark: Mark) -> list[str | int]:
    row: list[str | int] = [mark.answer, mark.attempt, mark.at_ns, mark.note]
    return [*row, mark.verdict] if mark.verdict else row


def _mark(row: list[Any]) -> Mark:
    answer, attempt, at_ns, note, *found = row
    verdict = found[0] if found else ""
    if len(found) > 1:
        raise ValueError(f"a mark has at most 5 entries, this has {len(row)}")
    return Mark(str(answer), int(attempt), int(at_ns), str(note), str(verdict))


class MemoryFile:
    """A memory on disk that survives kill -9: each save replaces the file as a whole and is synced."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Memory:
        """The memory saved last; an empty one if there is none yet. Raises `MemoryFault`."""
        try:
            return Memory.from_json(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Memory()
        except ValueError as error:
            raise MemoryFault(f"{self.path} holds no executor's memory: {error}") from error

    def save(self, memory: str) -> None:
        """Returns when `memory` (from `Memory.to_json`) is on the disk. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            file.write(memory)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
