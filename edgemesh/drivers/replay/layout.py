"""Where the columns of one CSV file are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of the columns of one file, and how its cells are written."""

    separator: str
    decimal: str
    width: int
    time_at: int
    time_format: str
    time_example: str
    metrics: tuple[str, ...]
    units: tuple[str, ...]
    columns: tuple[str, ...]
    metrics_at: tuple[int, ...]
    label_names: tuple[str, ...]
    labels_at: tuple[int, ...]
