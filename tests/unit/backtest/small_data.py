"""A pump's flow as CSV and as a history, and configurations that watch it with one limit."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from edgemesh.model.packs import Pack, Readings
from edgemesh.model.samples import Batch
from edgemesh.store.history import HistorySink

SECOND_NS = 10**9
BEGIN_NS = 1_714_557_600 * SECOND_NS
"""2024-05-01T10:00:00Z."""

FILE = """
[site]
id = "small"
data = "{data}"

[[asset]]
id = "pump-1"
class = "pump"
criticality = "A"

[[gateway]]
id = "gateway-7"

[detector]

[[detection.rule]]
kind = "limit"
name = "flow low"
metric = "flow"
below = {below}
clear = {clear}
hold = "2s"
clear_hold = "3s"

[[detection.rule]]
kind = "silent"
after = "30s"

[scheduler]
[recorder]
[registry]
"""


def write_config(file: Path, *, below: float = 80.0, clear: float = 85.0) -> Path:
    """A site that says that the flow is low, and that it is silent for 30 s."""
    file.write_text(FILE.format(data=file.parent / "data", below=below, clear=clear))
    return file


def flow(seconds: int, low: range = range(0)) -> list[float]:
    """A flow once a second: 90 m3/h and a little more or less; 60 while it is low."""
    return [60.0 if second in low else 90.0 + (second * 7 % 5) * 0.2 for second in range(seconds)]


def write_csv(file: Path, values: Sequence[float | None], *, labels: range | None = None) -> Path:
    """The values at 1 Hz from BEGIN_NS on; with labels a column `anomaly`."""
    lines = ["datetime,flow" + (",anomaly" if labels is not None else "")]
    for second, value in enumerate(values):
        cells = [str(BEGIN_NS // SECOND_NS + second), "" if value is None else str(value)]
        lines.append(",".join(cells + ([str(float(second in labels))] if labels is not None else [])))
    file.write_text("\n".join(lines) + "\n")
    return file


def make_pack(values: Sequence[float], *, seq: int, start_s: int, device: str = "pump-1") -> Readings:
    """A gateway's pack of the flow at 1 Hz, `start_s` after BEGIN_NS."""
    times = tuple(BEGIN_NS + (start_s + second) * SECOND_NS for second in range(len(values)))
    batch = Batch(device=device, asset=device, metrics=("flow",), units=("m3/h",), at_ns=times, values=(tuple(values),))
    return Readings(agent="gateway-7", epoch="e0", seq=seq, lowest=1, at_ns=times[-1], records=(batch,))


def write_history(file: Path, packs: Sequence[Pack]) -> Path:
    """A recorder's file that holds these packs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    sink = HistorySink()
    connection.execute("BEGIN")
    sink.prepare(connection)
    sink.write(connection, packs)
    connection.execute("COMMIT")
    connection.close()
    return file
