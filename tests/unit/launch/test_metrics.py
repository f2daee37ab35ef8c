"""Metrics of the agents of a demo or replay: where they are asked for, and nowhere else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from edgemesh.bus.memory import MemoryBroker
from edgemesh.cli import main
from edgemesh.configuration.loading import load
from edgemesh.errors import ConfigError
from edgemesh.launch.metrics import open_metrics
from edgemesh.launch.plant import Plant, build

FILE = """
[site]
id = "small"
data = "{data}"

[registry]

[metrics]
port = 1
"""


async def _plant(folder: Path) -> Plant:
    file = folder / "plant.toml"
    file.write_text(FILE.format(data=folder / "data"))
    return await build(load(file), connect=lambda name, will: MemoryBroker().client(name, will=will))


def test_they_are_served_on_the_port_that_was_asked_for_alone(tmp_path: Path) -> None:
    """That of [metrics] belongs to the site; without the option nothing is served."""

    def read(url: str) -> str:
        with urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    async def body() -> str:
        plant = await _plant(tmp_path)
        assert await open_metrics(plant, None) is None
        responder = await open_metrics(plant, 0)
        assert responder is not None
        try:
            return await asyncio.to_thread(read, f"{responder.url}/metrics")
        finally:
            await responder.close()
            await plant.stop()

    assert 'edgemesh_connected{site="small",agent="registry"' in asyncio.run(body())


def test_a_port_in_use_is_said_and_nothing_is_left_open(tmp_path: Path) -> None:
    """The logs of the plant are free again."""

    async def body() -> None:
        taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        async with taken:
            with pytest.raises(ConfigError, match="metrics can't be served"):
                await open_metrics(await _plant(tmp_path), taken.sockets[0].getsockname()[1])
        await (await _plant(tmp_path)).stop()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("command", "asked"),
    [(["demo"], None), (["demo", "--metrics-port", "0"], 0), (["replay", "x.csv", "--metrics-port", "9471"], 9471)],
)
def test_the_option_comes_through(monkeypatch: pytest.MonkeyPatch, command: list[str], asked: int | None) -> None:
    """Of either command."""
    seen = []

    async def play(options: object, **rest: object) -> None:
        seen.append(getattr(options, "metrics_port", "?"))
        raise ConfigError("enough")

    monkeypatch.setattr(f"edgemesh.launch.{command[0]}.play", play)
    assert CliRunner().invoke(main, command).exit_code == 2
    assert seen == [asked]
