"""F1, FAR and MAR of the detector over a folder of SKAB files: `python benchmarks/skab.py FOLDER`.

Each file is one asset and goes through the production core as packs of readings. Labels are only compared with. A row
is flagged when its time lies within [raised, cleared) of an alert. Rows before `--train` are not scored, the counts of
all files are pooled: FAR = FP / (FP + TN), MAR = FN / (FN + TP).
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.settings import DetectSettings, ModelSettings
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch

LABELS = ("anomaly", "changepoint")


@dataclass
class Recording:
    """One file: times in nanoseconds, one column of values per metric, the label of each row."""

    name: str
    metrics: tuple[str, ...]
    at_ns: list[int]
    columns: list[list[float]]
    labels: list[bool]


def read_recording(path: Path) -> Recording:
    with path.open(newline="") as file:
        table = list(csv.DictReader(file, delimiter=";"))
    names = [name for name in table[0] if name != "datetime" and name not in LABELS]
    instants = [datetime.fromisoformat(row["datetime"]).replace(tzinfo=UTC) for row in table]
    return Recording(
        path.stem,
        tuple(re.sub(r"[^A-Za-z0-9_-]", "_", name) for name in names),
        [int(instant.timestamp()) * 10**9 for instant in instants],
        [[float(row[name]) for row in table] for name in names],
        [float(row["anomaly"]) > 0 for row in table],
    )


def detect(recording: Recording, settings: DetectSettings, pack_rows: int) -> list[Alert]:
    """Feed one recording to a fresh core and return every version of its alerts."""
    asset = f"rig-{recording.name}"
    core = DetectorCore("detector", "bench", settings, {asset: Asset(id=asset, asset_class="skab-rig")})
    alerts: list[Alert] = []
    for seq, start in enumerate(range(0, len(recording.at_ns), pack_rows), start=1):
        part = slice(start, start + pack_rows)
        batch = Batch(
            device="rig",
            asset=asset,
            metrics=recording.metrics,
            units=("1",) * len(recording.metrics),
            at_ns=tuple(recording.at_ns[part]),
            values=tuple(tuple(column[part]) for column in recording.columns),
        )
        alerts += core.handle(Readings(agent="gw", epoch="0", seq=seq, lowest=1, at_ns=0, records=(batch,)))
    return alerts


def flag_rows(recording: Recording, alerts: list[Alert]) -> list[bool]:
    last = {alert.id: alert for alert in alerts}
    spans = [(alert.raised_at_ns, alert.cleared_at_ns or 2**63) for alert in last.values()]
    return [any(start <= at < end for start, end in spans) for at in recording.at_ns]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--forest-weight", type=float, default=ProfileSettings().forest_weight)
    parser.add_argument("--train", type=int, default=400, help="rows of the warm-up")
    parser.add_argument("--pack-rows", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.csv"), key=lambda path: (len(path.stem), path.stem))
    if not paths:
        sys.exit(f"no CSV files in {options.folder}")
    machine = ProfileSettings(train_rows=options.train, seed=options.seed, forest_weight=options.forest_weight)
    model = ModelSettings(method="machine", machine=machine)
    hits = false = missed = quiet = rows = raised = 0
    spent_s = 0.0
    for path in paths:
        recording = read_recording(path)
        start = time.process_time()
        alerts = detect(recording, DetectSettings(model=(model,)), options.pack_rows)
        spent_s += time.process_time() - start
        rows += len(recording.at_ns)
        raised += sum(alert.version == 1 for alert in alerts)
        flags = flag_rows(recording, alerts)[options.train :]
        pairs = list(zip(flags, recording.labels[options.train :], strict=True))
        counts = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
        hits, false, missed, quiet = (a + b for a, b in zip((hits, false, missed, quiet), counts, strict=True))
        first = next((alert for alert in alerts if alert.state is AlertState.FIRING), None)
        print(f"{path.name:>8} TP/FP/FN/TN {counts}  {first.cause if first else 'no alert'}")
    f1 = 2 * hits / max(1, 2 * hits + false + missed)
    print(
        f"F1 {f1:.3f}  FAR {100 * false / max(1, false + quiet):.1f} %"
        f"  MAR {100 * missed / max(1, missed + hits):.1f} %"
        f"  alerts {raised}  {len(paths)} files, {rows} rows"
        f"  CPU {spent_s:.2f} s, {1e6 * spent_s / rows:.0f} us a row with training"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
