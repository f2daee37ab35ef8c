"""Programs of a site behind a way of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgemesh.errors import InputError
from edgemesh.prove import ways
from edgemesh.prove.proxy import Proxy
from edgemesh.prove.site import Site, lay_out
from edgemesh.prove.ways import behind


def site_at(folder: Path, broker: str = "mosquitto") -> Site:
    return lay_out(folder, broker=broker, rate=100.0, seed=1)


@pytest.mark.parametrize("asked", [True, False])
def test_a_proxy_stands_in_for_a_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool) -> None:
    """Asked for, or without root, the programs are led to a port of ours; all others stay as they were."""
    monkeypatch.setattr(ways, "missing", lambda: "root")
    site = site_at(tmp_path)
    before = {name: list(program.arguments) for name, program in site.programs.items()}

    async def scenario() -> None:
        async with behind(site, ["gateway-1"], proxy=asked) as way:
            assert isinstance(way, Proxy)
            own = tmp_path / "gateway-1.toml"
            assert f'broker = "mqtt://127.0.0.1:{way.port}"' in own.read_text()
            assert str(own) in site.programs["gateway-1"].arguments
            assert own.read_text().count("[[gateway]]") == (tmp_path / "prove.toml").read_text().count("[[gateway]]")

    asyncio.run(scenario())
    assert {name for name, program in site.programs.items() if program.arguments != before[name]} == {"gateway-1"}


def test_somebody_elses_broker_on_another_machine_is_refused(tmp_path: Path) -> None:
    """Nothing can be done to a way that does not pass here, and the person is told."""

    async def scenario() -> None:
        with pytest.raises(InputError, match=r"broker\.example"):
            async with behind(site_at(tmp_path, "mqtt://broker.example:1883"), ["gateway-1"]):
                pytest.fail("it was led astray")

    asyncio.run(scenario())
