"""What configuration and options ask for: metrics, and the form of the log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgemesh.bus.memory import MemoryBroker
from edgemesh.cli import main
from edgemesh.configuration.loading import load
from edgemesh.health.logs import JsonForm, LogOutput
from edgemesh.launch.metrics import make_responder
from edgemesh.launch.plant import build

FILE = """
[site]
id = "small"
data = "{data}"

[registry]
"""


@pytest.mark.parametrize(
    ("section", "asked", "url"),
    [
        ("", None, None),
        ("[metrics]", None, "http://127.0.0.1:9465"),
        ("[metrics]\nport = 9470", None, "http://127.0.0.1:9470"),
        ("[metrics]\nhost = '::1'\nport = 9470", 9471, "http://[::1]:9471"),
        ("", 9472, "http://127.0.0.1:9472"),
    ],
)
def test_metrics_are_off_unless_asked_for(tmp_path: Path, section: str, asked: int | None, url: str | None) -> None:
    """Without section and option nothing listens; with either it is on loopback; the option is stronger."""
    file = tmp_path / "plant.toml"
    file.write_text(FILE.format(data=tmp_path / "data") + section)

    async def body() -> str | None:
        plant = await build(load(file), connect=lambda name, will: MemoryBroker().client(name, will=will))
        responder = make_responder(plant, asked)
        for agent in plant.agents.values():
            agent.engine.journal.close()
        return responder.url if responder else None

    assert asyncio.run(body()) == url


@pytest.mark.parametrize(
    ("section", "options", "json", "port"),
    [
        ("", [], False, None),
        ("[logs]\nform = 'json'", [], True, None),
        ("[logs]\nform = 'json'", ["--log-form", "human"], False, None),
        ("", ["--log-form", "json", "--metrics-port", "0"], True, 0),
    ],
)
def test_the_form_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, options: list[str], json: bool, port: int | None
) -> None:
    """Lines are for people unless option or section say otherwise; the option is stronger."""
    file = tmp_path / "plant.toml"
    file.write_text(FILE.format(data=tmp_path / "data") + section)
    seen: list[tuple[bool, object]] = []

    async def run(configuration: object, *, output: LogOutput, metrics_port: int | None, **rest: object) -> None:
        seen.append((isinstance(output.formatter, JsonForm), metrics_port))

    monkeypatch.setattr("edgemesh.launch.run.run", run)
    done = CliRunner().invoke(main, ["run", str(file), *options])
    assert (done.exit_code, seen) == (0, [(json, port)]), done.output
