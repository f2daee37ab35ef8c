"""An inlet that keeps what a driver puts into it, and plays the broker for drivers that listen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgemesh.drivers.contract import Driver, Settle, Take
from edgemesh.model.samples import Sample

NOW_NS = 1_714_564_800_000_000_000
"""2024-05-01T12:00:00Z"""


@dataclass
class FakeInlet:
    """The contract's Inlet with the same rules as the gateway's: order kept, put commits and settles at once."""

    now: int = NOW_NS
    samples: list[Sample] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    rejections: list[tuple[str, str, bytes, str]] = field(default_factory=list)
    listening: list[tuple[str, Take]] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    waits: int = 0

    def put(self, samples: Sequence[Sample], settle: Settle | None = None) -> None:
        asyncio.get_running_loop()  # raises when called anywhere else
        assert samples, "an empty put"
        self.samples.extend(samples)
        self.groups.append(len(samples))
        if settle is not None:
            settle()

    async def room(self, *, follow: bool = False) -> None:
        self.waits += 1
        await asyncio.sleep(0)

    def reject(self, reason: str, origin: str, payload: bytes, detail: str = "") -> None:
        assert isinstance(payload, bytes)
        self.rejections.append((reason, origin, payload, detail))

    def now_ns(self) -> int:
        return self.now

    def listen(self, pattern: str, take: Take) -> None:
        self.listening.append((pattern, take))

    def deliver(self, topic: str, payload: bytes) -> None:
        """Hand a message to every listener whose pattern fits; `settled` counts how often each one settled it."""
        for pattern, take in self.listening:
            if fits(pattern, topic):
                number = len(self.settled)
                self.settled.append(0)

                def settle(number: int = number) -> None:
                    self.settled[number] += 1

                take(topic, payload, settle)


def fits(pattern: str, topic: str) -> bool:
    """Whether a topic fits an MQTT pattern (section 4.7 of the MQTT 3.1.1 standard)."""
    wanted, levels = pattern.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        levels = levels[: len(wanted)] if len(levels) >= len(wanted) else []
    return len(wanted) == len(levels) and all(want in ("+", level) for want, level in zip(wanted, levels, strict=True))


async def run_until(driver: Driver, inlet: FakeInlet, done: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Run the driver until it ends or `done()` holds, then cancel it; its error, if it has one, is raised."""
    task = asyncio.ensure_future(driver.run(inlet))
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while not task.done() and not done():
        assert loop.time() < end, f"nothing came: {inlet}"
        await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, 1.0)
