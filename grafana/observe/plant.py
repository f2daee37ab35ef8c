"""A real site that fills InfluxDB: the demo, simulator, broker, agents and the recorder's writer, for a while."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from edgemesh.commands.common import sample
from grafana.observe.server import Influx

BUCKET, LONG = "plant", "plant-long"
LEAST_S, MOST_S, LOOK_S = 30.0, 90.0, 0.5
SECTION = f"""
[influxdb]
url = "{{url}}"
version = 1
bucket = "{BUCKET}"
rollup_bucket = "{LONG}"
health = "1s"
"""
VERIFIED = 'SELECT count("version") FROM "workorder" WHERE "state" = \'verified\''


def play(server: Influx, folder: Path, *, least_s: float = LEAST_S) -> None:
    """Run `edgemesh demo` with an `[influxdb]` section until an order is verified, and for so long at least.

    Returns once it has ended in order. RuntimeError when it fails, or no order is verified within `MOST_S`.
    """
    config, errors = folder / "demo.toml", folder / "demo.log"
    text = sample("demo.toml").read_text(encoding="utf-8") + SECTION.format(url=server.url)
    config.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "edgemesh", "demo", "--config", str(config), "--data", str(folder / "data")]
    with errors.open("wb") as log:
        demo = subprocess.Popen([*command, "--no-page", "--json"], stdout=subprocess.DEVNULL, stderr=log)
    try:
        complete = _until_verified(server, demo, least_s)
        demo.send_signal(signal.SIGINT)
        status = demo.wait(20)
    finally:
        demo.kill()
        demo.wait(10)
    if not complete or status:
        tail = errors.read_text(encoding="utf-8", errors="replace")[-1_000:]
        raise RuntimeError(f"no order was verified within {MOST_S} s, or the demo failed ({status}): {tail}")


def _until_verified(server: Influx, demo: subprocess.Popen[bytes], least_s: float) -> bool:
    began_s = time.monotonic()
    while demo.poll() is None and time.monotonic() - began_s < max(least_s, MOST_S):
        if time.monotonic() - began_s >= least_s and server.ask(VERIFIED, BUCKET):
            return True
        time.sleep(LOOK_S)
    return False
