"""A real site that fills InfluxDB: the demo, simulator, broker, agents and the recorder's writer, for a while."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edgemesh.commands.common import sample
from grafana.observe.server import Influx

SITE, BUCKET, LONG = "demo", "plant", "plant-long"
FOR_S = 30.0
SECTION = f"""
[influxdb]
url = "{{url}}"
version = 1
bucket = "{BUCKET}"
rollup_bucket = "{LONG}"
health = "1s"
"""


def play(server: Influx, folder: Path, *, for_s: float = FOR_S) -> None:
    """Run `edgemesh demo` with an `[influxdb]` section; return once it is over and its lines are written."""
    config = folder / "demo.toml"
    section = SECTION.format(url=server.url)
    config.write_text(sample("demo.toml").read_text(encoding="utf-8") + section, encoding="utf-8")
    command = [sys.executable, "-m", "edgemesh", "demo", "--config", str(config), "--data", str(folder / "data")]
    ended = subprocess.run([*command, "--no-page", "--json", "--for", str(for_s)], capture_output=True, text=True)
    if not ended.stdout.startswith("{"):
        raise RuntimeError(f"the demo ended with {ended.returncode}: {ended.stderr[-1_000:]}")
