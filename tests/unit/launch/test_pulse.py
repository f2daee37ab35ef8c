"""The pulse: it beats while agents get on, and only then."""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgemesh.agents.core import Input
from edgemesh.agents.gateway import GatewayCore
from edgemesh.launch.pulse import BEAT_S, LOOP_S, STUCK_S, Pulse, Vitals
from edgemesh.model.agents import Role
from edgemesh.model.samples import Record
from tests.unit.agents.site import running

Until = Callable[..., Awaitable[None]]


@dataclass
class Agent:
    busy: bool = False
    progress: int = 0


def test_a_loop_that_hangs() -> None:
    """An event loop that does not come round stops the beat."""
    vitals = Vitals([Agent()])
    vitals.came_round(100.0)
    assert vitals.good(100.0 + LOOP_S / 2)
    assert not vitals.good(100.0 + LOOP_S * 2)


@pytest.mark.parametrize("slow_s", [0.3, 2.0, 10.0])
def test_a_slow_step(slow_s: float) -> None:
    """A forest that learns, or a card that takes seconds for a commit, is no fault, even on the event loop."""
    vitals = Vitals([Agent(), Agent(busy=True)])
    vitals.came_round(100.0)
    assert all(vitals.good(100.0 + slow_s * part / 10) for part in range(11))


def test_a_stuck_step() -> None:
    """A step that neither ends nor gets on stops the beat, though the event loop lives; the next has its own time."""
    agent = Agent(busy=True, progress=5)
    vitals = Vitals([agent])

    def good(now_s: float) -> bool:
        vitals.came_round(now_s)
        return vitals.good(now_s)

    assert good(0.0)
    assert good(STUCK_S - 1)
    assert not good(STUCK_S + 1)
    agent.progress = 6
    assert good(STUCK_S + 2)
    assert good(2 * STUCK_S)
    agent.busy = False
    assert good(3 * STUCK_S)
    agent.busy = True
    assert good(4 * STUCK_S)


class Asked:
    """An agent that counts how often it was looked at."""

    def __init__(self) -> None:
        self.busy, self.times = False, 0

    @property
    def progress(self) -> int:
        self.times += 1
        return 0


def test_over_the_pipe(until: Until) -> None:
    """The watchdog hears beats from the start on, and none any more once a step is stuck."""

    async def scenario() -> None:
        read, write = os.pipe()
        os.set_blocking(read, False)
        agent = Asked()
        pulse = Pulse(Vitals([agent], stuck_s=0.0), write, {})
        heard = bytearray()

        def listen() -> int:
            with contextlib.suppress(BlockingIOError):
                heard.extend(os.read(read, 100))
            return len(heard)

        pulse.start()
        await until(lambda: listen() >= 2)
        agent.busy = True
        await until(lambda: agent.times >= 2)  # the first look finds a step that has just begun
        so_far = listen()
        await until(lambda: agent.times >= 4)
        assert listen() == so_far
        pulse.stop()
        os.close(read)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("more", "watched"),
    [({"WATCHDOG_USEC": "300000"}, True), ({"WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1"}, False), ({}, False)],
)
def test_systemd(more: dict[str, str], watched: bool, tmp_path: Path, until: Until) -> None:
    """The service manager is told READY and STOPPING, and WATCHDOG often enough if it wants it from this process."""

    async def scenario() -> list[str]:
        words: list[str] = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(tmp_path / "notify"))
            listener.setblocking(False)

            def listen() -> list[str]:
                try:
                    while True:
                        words.append(listener.recv(100).decode())
                except BlockingIOError:
                    return words

            pulse = Pulse(Vitals([]), None, {"NOTIFY_SOCKET": str(tmp_path / "notify"), **more})
            pulse.start()
            await until(lambda: len(listen()) >= (3 if watched else 1))
            pulse.leave()
            await until(lambda: "STOPPING=1" in listen())
            pulse.stop()
        return words

    words = asyncio.run(scenario())
    assert words[0] == "READY=1"
    assert ("WATCHDOG=1" in words) is watched


class Stuck(GatewayCore):
    """A core that does not come back until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def handle(self, pack: Input) -> Sequence[Record]:
        self.let.wait(20)
        return super().handle(pack)


def test_an_agent_whose_step_is_stuck(tmp_path: Path, until: Until) -> None:
    """A core that does not return, in the worker thread, is seen from outside while the event loop lives on."""

    async def scene() -> None:
        core = Stuck()
        async with running(tmp_path) as site:
            agent = site.add("gateway", Role.GATEWAY, lambda: core)
            await site.start()
            vitals = Vitals([agent], stuck_s=5.0)
            site.put("gateway", 1.0)
            await until(lambda: agent.busy and agent.progress > 0)
            for now_s, good in ((0.0, True), (4.0, True), (6.0, False)):
                vitals.came_round(now_s)
                assert vitals.good(now_s) is good
            core.let.set()
            await until(lambda: not agent.busy)
            vitals.came_round(7.0)
            assert vitals.good(7.0)

    asyncio.run(scene())


def test_the_sample_unit() -> None:
    """The unit gives the beat room for three, starts again what it ends, and leaves a wrong configuration alone."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(Path(__file__).parents[3] / "configs" / "systemd" / "edgemesh@.service")
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert float(service["WatchdogSec"]) >= 3 * BEAT_S
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", "2")
