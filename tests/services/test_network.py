"""Namespaces and links of the real kernel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgemesh.errors import InputError
from edgemesh.prove import network
from edgemesh.prove.network import Cell
from edgemesh.prove.weather import GONE, Weather

TALK = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as talk:
    talk.settimeout(float(sys.argv[3]))
    began = time.monotonic()
    for _ in range(10):
        talk.sendall(b"x")
        assert talk.recv(1) == b"x"
    print(time.monotonic() - began)
"""


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    """Root and its tools; elsewhere skip with a hint, but fail where the environment says that this is CI."""
    lacking = network.missing()
    if lacking and os.environ.get("CI"):
        pytest.fail(f"needs {lacking}")
    if lacking:
        pytest.skip(f"needs {lacking}")


async def talk(cell: Cell, timeout_s: float = 5.0) -> float:
    """How long ten questions from inside the cell to us took; a negative number: no answer."""
    with socket.create_server((cell.outside, 0)) as server, ThreadPoolExecutor() as pool:
        server.settimeout(timeout_s)
        echoing = pool.submit(echo, server)
        asking = await asyncio.create_subprocess_exec(
            *cell.prefix, sys.executable, "-c", TALK, cell.outside, str(server.getsockname()[1]), str(timeout_s),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        said = (await asking.communicate())[0]
        await asyncio.wrap_future(echoing)
    return float(said) if asking.returncode == 0 else -1.0


def echo(server: socket.socket) -> None:
    with contextlib.suppress(OSError), server.accept()[0] as peer:
        peer.settimeout(1)
        while piece := peer.recv(100):
            peer.sendall(piece)


def links() -> str:
    return subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout


def test_a_cell_reaches_us_through_the_weather() -> None:
    """A program in the cell connects to us; delay is felt, and a link that is down carries nothing until it is up."""

    async def scenario() -> None:
        async with Cell() as cell:
            calm_s = await talk(cell)
            assert 0 <= calm_s < 1
            cell.weather(up=Weather(delay_s=0.05))
            assert await talk(cell) > 0.5
            await cell.unplug()
            assert await talk(cell) < 0
            await cell.plug()
            assert await talk(cell) > 0.5
            assert cell.up.carried > 20

    asyncio.run(scenario())


def test_nothing_stays_behind() -> None:
    """Devices and the program that holds the namespace are gone afterwards, also after an error inside."""
    before = links()

    async def scenario() -> int:
        with contextlib.suppress(RuntimeError):
            async with Cell() as cell:
                assert links() != before
                raise RuntimeError
        return int(cell.prefix[1].split("/")[2])

    pid = asyncio.run(scenario())
    assert links() == before
    assert not Path(f"/proc/{pid}/ns/net").exists()


def test_a_cell_that_can_not_be_finished_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a step of making it fails nothing stays behind either, and the error names the step."""
    before = links()
    monkeypatch.setattr(network, "_dotted", lambda address: "no-address")

    async def scenario() -> None:
        with pytest.raises(InputError, match="ip address add"):
            async with Cell():
                pytest.fail("it was made")

    asyncio.run(scenario())
    assert links() == before


def test_gone_is_silent() -> None:
    """What is dropped in the middle of the way gives no error on either side, only silence."""

    async def scenario() -> None:
        async with Cell() as cell:
            cell.weather(down=GONE)
            assert await talk(cell, 0.5) < 0
            assert cell.down.lost > 0

    asyncio.run(scenario())
