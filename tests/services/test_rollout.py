"""A model goes out over a real Mosquitto: pushed by the code of the command, tried by agents, while the broker dies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from edgemesh.agents.items import Offered
from edgemesh.bus.address import Address
from edgemesh.bus.mqtt import MqttBus
from edgemesh.configuration.loading import load
from edgemesh.launch.plant import build
from edgemesh.launch.rollout import Rollout, run_rollout
from edgemesh.testing import make_sample, make_source
from tests.unit.agents.site import collect
from tests.unit.agents.test_rollout import ASSET, CALM, METRICS, UNITS, model

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, Until

CONFIG = """
[site]
id = "hall"
data = "{data}"
broker = "{url}"
clock = "any"

[[asset]]
id = "P-1"

[[gateway]]
id = "gateway"

[detector]
agents = ["detector"]

[registry]

[[detection.model]]
machine = {{ train_rows = 100, trees = 10, subsample = 32 }}

[detection.rollout]
shadow_rows = 20
shadow_for = "20s"
canary_for = "20s"
"""


def test_a_model_goes_out_over_a_broker_that_forgets(mosquitto: Mosquitto, tmp_path: Path, until: Until) -> None:
    """Killed while the model is in the shadow, the broker has lost the offer and all that was said; both come back."""
    file = tmp_path / "site.toml"
    file.write_text(CONFIG.format(data=tmp_path / "data", url=mosquitto.url))
    source = make_source(f"d-{ASSET}", asset=ASSET, metrics=METRICS, units=UNITS)

    async def body() -> None:
        plant = await build(load(file))
        await plant.start()

        def put(first: int, last: int) -> None:
            samples = [make_sample(*CALM[i].tolist(), source=source, at_s=float(i)) for i in range(first, last)]
            plant.agents["gateway"].offer(Offered(samples))

        def stats() -> dict[str, float]:
            return plant.agents["detector"].engine.core.stats  # type: ignore[attr-defined, no-any-return]

        ear = MqttBus((Address("127.0.0.1", mosquitto.port),), "ear")
        lines: list[str] = []
        try:
            put(0, 110)
            await until(lambda: stats()["trained"] == 1, 60)
            rollout = Rollout([(ASSET, 2, model(CALM[400:]))], wait_s=60.0)
            going = asyncio.ensure_future(run_rollout(file, rollout, lines.append))
            await until(lambda: any("in the shadow" in line for line in lines), 20)
            put(110, 120)
            await until(lambda: stats()["rows"] == 20, 20)
            mosquitto.kill()
            mosquitto.start()
            await ear.open()
            offers = collect(ear, plant.topics.model(ASSET))
            await until(lambda: offers, 20)
            for first in range(120, 1000, 5):  # a stage ends with a pack
                if not going.done():
                    put(first, first + 5)
                    await asyncio.wait([going], timeout=0.1)
            assert await asyncio.wait_for(going, 20)
            assert "version 2 in use, version 2 judges" in lines[-1]
            assert await run_rollout(file, Rollout([(ASSET, 0, b"")], wait_s=20.0), lines.append)
            assert "rolled back, version 1 judges" in lines[-1]
        finally:
            await ear.close()
            await plant.stop()

    asyncio.run(body())
