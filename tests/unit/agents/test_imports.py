"""A gateway stays light: what is heavy is imported where it is needed, and a gateway needs none of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def test_a_gateway_imports_nothing_heavy(tmp_path: Path) -> None:
    """Starting a gateway loads no numpy, scikit-learn, aiohttp, rich or InfluxDB client: it fits a Pi Zero."""
    config = tmp_path / "gateway.toml"
    config.write_text(GATEWAY.format(data=tmp_path / "data"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["agents"] == ["gateway-1"]
    assert "msgspec" in told["packages"], "the list of packages is not the one to look at"
    assert HEAVY.isdisjoint(told["packages"])
