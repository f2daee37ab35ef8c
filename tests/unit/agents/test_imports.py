"""A gateway stays light: what is heavy is imported where it is needed, and a gateway needs none of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"aiohttp", "aiomqtt", "amqtt", "influxdb_client", "numpy", "rich", "scipy", "sklearn"}

# Builds what `edgemesh run gateway.toml` runs, in a fresh interpreter, and tells which packages that has brought in.
SCRIPT = """
import asyncio, json, sys
from pathlib import Path
import edgemesh.cli, edgemesh.launch.run
from edgemesh.configuration.loading import load
from edgemesh.launch.plant import build

async def main():
    plant = await build(load(Path(sys.argv[1])))
    for agent in plant.agents.values():
        agent.engine.journal.close()
    packages = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps({"agents": list(plant.agents), "packages": packages}))

asyncio.run(main())
"""

GATEWAY = """
[site]
id = "light"
data = "{data}"
broker = "mqtt://127.0.0.1:1"
roles = ["detector", "recorder"]

[[gateway]]
id = "gateway-1"

[[gateway.driver]]
type = "mqtt_json"
topic = "sensors/{{device}}/state"

[[gateway.driver]]
type = "host"
"""


SENTRY = """
[detector]
agents = ["sentry-1"]
stage = "gateway"

[[detection.template]]
template = "pump-iso10816-7"
"""


@pytest.mark.parametrize(("more", "agents"), [("", ["gateway-1"]), (SENTRY, ["gateway-1", "sentry-1"])])
def test_a_gateway_imports_nothing_heavy(tmp_path: Path, more: str, agents: list[str]) -> None:
    """Starting a gateway, also one with a sentry, loads no numpy, scikit-learn, aiohttp, rich or InfluxDB client: it
    fits a Pi Zero.
    """
    config = tmp_path / "gateway.toml"
    config.write_text(GATEWAY.format(data=tmp_path / "data") + more)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["agents"] == agents
    assert "msgspec" in told["packages"], "the list of packages is not the one to look at"
    assert HEAVY.isdisjoint(told["packages"])
