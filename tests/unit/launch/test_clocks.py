"""When the machine's clock is believed: what the configuration says of it reaches each agent's clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgemesh.agents.clock import FLOOR_NS, SystemClock
from edgemesh.bus.memory import MemoryBroker
from edgemesh.configuration.loading import load
from edgemesh.errors import ConfigError
from edgemesh.launch import plant as module
from edgemesh.launch.plant import build

SITE = '[site]\nid = "s"\ndata = "{folder}/data"\n{more}\n[[gateway]]\nid = "gw"\n'


def clock_of(folder: Path, more: str) -> SystemClock:
    file = folder / "site.toml"
    file.write_text(SITE.format(folder=folder, more=more))

    async def body() -> SystemClock:
        plant = await build(load(file), connect=lambda name, will: MemoryBroker().client(name, will=will))
        clock = plant.agents["gw"].engine.clock
        await plant.stop()
        assert isinstance(clock, SystemClock)
        return clock

    return asyncio.run(body())


@pytest.mark.parametrize(
    ("more", "floor_ns", "doubt_s", "asks"),
    [
        ("", FLOOR_NS, 600, False),
        ('clock = "any"', 0, 600, False),
        ('clock = "synchronised"\nclock_doubt = "5s"', FLOOR_NS, 5, True),
    ],
)
def test_the_site_says_when_its_clock_is_believed(
    tmp_path: Path, more: str, floor_ns: int, doubt_s: int, asks: bool
) -> None:
    """Floor, patience and whether a time service is asked come from `[site]`."""
    clock = clock_of(tmp_path, more)
    assert (clock._floor_ns, clock._doubt_ns, clock._synchronised is not None) == (floor_ns, doubt_s * 10**9, asks)


def test_a_system_that_can_not_say_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for a synchronised clock where nobody knows hears of it at the start, not never."""
    monkeypatch.setattr(module, "can_be_asked", lambda: False)
    with pytest.raises(ConfigError, match="plausible"):
        clock_of(tmp_path, 'clock = "synchronised"')
