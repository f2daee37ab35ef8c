"""What a sentry costs its gateway: `python benchmarks/gateway.py [--runs 5] [--rows 500]`.

Runs a gateway that can't reach its broker, alone and with a sentry (template and rules for one pump), by turns, each in
a fresh interpreter. Prints medians: seconds until all is imported and built, modules, memory, and CPU per row of five
metrics that the gateway commits and the sentry judges, 50 rows a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SITE = """
[site]
id = "bench"
data = "{data}"
broker = "mqtt://127.0.0.1:1"
clock = "any"
roles = ["detector", "scheduler", "recorder"]

[[asset]]
id = "pump-1"
class = "pump"

[[gateway]]
id = "gw"
"""
SENTRY = """
[detector]
agents = ["gw-sentry"]
stage = "gateway"

[[detection.template]]
template = "pump-iso10816-7"

[[detection.rule]]
kind = "limit"
metric = "flow"
below = 50.0

[[detection.rule]]
kind = "silent"
"""
METRICS = ("pressure", "flow", "vibration_velocity", "bearing_temperature", "current")
ROWS_PER_S = 50


async def measure(file: Path, rows: int, began_s: float) -> dict[str, float]:
    """Build and run what the file says, and feed it; the figures of this process."""
    from edgemesh.agents.items import Offered
    from edgemesh.configuration.loading import load
    from edgemesh.launch.plant import build
    from edgemesh.testing import make_sample, make_source

    plant = await build(load(file))
    built_s, modules = time.perf_counter() - began_s, len(sys.modules)
    await plant.start()
    await asyncio.sleep(1.0)
    source = make_source("d-1", asset="pump-1", metrics=METRICS)
    cpu_s = time.process_time()
    for row in range(rows):
        plant.agents["gw"].offer(Offered((make_sample(6.0, 90.0, 2.0, 50.0, 21.0, source=source, at_s=float(row)),)))
        await asyncio.sleep(1 / ROWS_PER_S)
    cpu_s = time.process_time() - cpu_s
    taken = [agent.engine.stats.packs for name, agent in plant.agents.items() if name != "gw"]
    figures = {"built_s": built_s, "modules": modules, "rss_mb": rss_mb(), "cpu_us": 1e6 * cpu_s / rows}
    await plant.stop()
    if any(packs < rows - ROWS_PER_S for packs in taken):
        raise SystemExit(f"the sentry has taken {taken} of {rows} rows: the figures say nothing")
    return figures


def rss_mb() -> float:
    """Resident memory of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def play(text: str, rows: int) -> dict[str, float]:
    """Measure in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.toml"
        file.write_text(text.format(data=Path(folder) / "data"))
        command = [sys.executable, __file__, "--file", str(file), "--rows", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    began_s = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        print(json.dumps(asyncio.run(measure(options.file, options.rows, began_s))))
        return
    ways = {"gateway alone": SITE, "with a sentry": SITE + SENTRY}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(options.runs):
        for name, text in ways.items():
            found[name].append(play(text, options.rows))
    print(f"{'':15}  built s  modules  memory MB  CPU us/row    (medians of {options.runs})")
    for name, runs in found.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        line = f"{middle['built_s']:7.2f}  {middle['modules']:7.0f}  {middle['rss_mb']:9.1f}  {middle['cpu_us']:10.0f}"
        print(f"{name:15}  {line}")


if __name__ == "__main__":
    main()
