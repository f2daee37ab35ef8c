"""The demo: the whole loop of edgemesh around a simulated pump hall, in one command."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msgspec

from edgemesh.bus.contract import Message
from edgemesh.configuration.loading import Configuration, load
from edgemesh.configuration.settings import ConsoleSettings
from edgemesh.errors import ConfigError
from edgemesh.health.responder import Responder
from edgemesh.launch.drain import drained
from edgemesh.launch.metrics import open_metrics
from edgemesh.launch.observer import Observer, make_view
from edgemesh.launch.plant import Plant, build
from edgemesh.launch.report import DemoReport, report
from edgemesh.launch.signals import stopping_on_signals
from edgemesh.launch.simulator import Simulator
from edgemesh.launch.truth import Truth

MARKER = "made-by-edgemesh-demo"
DRAIN_S = 1.0
PULSE_S = 0.1


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for. `for_s` None: until stopped. `page_port` and `metrics_port` None: none,
    0: any free port.
    """

    config: Path
    data: Path
    seed: int = 7
    for_s: float | None = None
    broker: str = "embedded"
    page_port: int | None = 8080
    metrics_port: int | None = None
    first_fault_s: float = 12.0
    every_s: float = 20.0


@dataclass(slots=True)
class Demo:
    """A demo that runs. `stopping` ends it."""

    options: DemoOptions
    plant: Plant
    observer: Observer
    simulator: Simulator
    truth: Truth
    stopping: asyncio.Event
    metrics: Responder | None = None

    async def run(self) -> DemoReport:
        """Play until the time is over or `stopping` is set; stop everything; count."""
        began_s = time.monotonic()
        try:
            await self.plant.start()
            self._follow_truth()
            await self.observer.start()
            await self.simulator.start()
            while not self.stopping.is_set() and not self._over(began_s):
                self.simulator.check()
                await asyncio.sleep(PULSE_S)
            await self.observer.leave_view()
            await self.simulator.stop()
            rest = await drained(self.plant, patience_s=DRAIN_S)
        finally:
            await self._close()
        return report(self.plant, self.truth, seed=self.options.seed, undrained=rest)

    def _over(self, began_s: float) -> bool:
        return self.options.for_s is not None and time.monotonic() - began_s >= self.options.for_s

    def _follow_truth(self) -> None:
        def take(message: Message) -> None:
            self.truth.take(message.payload)
            message.settle()

        self.observer.bus.subscribe(f"firmware-sim/{self.plant.topics.site}/truth", take)

    async def _close(self) -> None:
        await self.simulator.stop()
        await self.observer.stop()
        if self.metrics:
            await self.metrics.close()
        await self.plant.stop()


async def play(options: DemoOptions, *, stream: TextIO) -> DemoReport:
    """Play the demo until its time is over or a signal comes, showing it on `stream`.

    ConfigError as `load` and `build` raise it, for a data folder that is not a demo's, and for a port in use.
    """
    demo = await prepare(options, stream=stream)
    with stopping_on_signals(demo.stopping):
        return await demo.run()


async def prepare(options: DemoOptions, *, stream: TextIO) -> Demo:
    """Load, clear the data folder of the demo before, build. Nothing runs yet but an embedded broker."""
    configuration = load(options.config, changes={"site.data": str(options.data), "site.broker": options.broker})
    _fresh_folder(options.data)
    plant = await build(configuration)
    metrics = await open_metrics(plant, options.metrics_port)
    page = _page(configuration, options)
    broker = plant.broker_name + (f" on {plant.broker.address}" if plant.broker else "")
    title = f"edgemesh demo · broker {broker}"
    if page:
        title += f" · page http://{page.host}:{page.port}/"
    if metrics:
        title += f" · metrics {metrics.url}/metrics"
    observer = Observer(plant, "demo-page", page=page, view=make_view(stream, title))
    return Demo(options, plant, observer, Simulator(_simulator(plant, options)), Truth(), asyncio.Event(), metrics)


def _fresh_folder(data: Path) -> None:
    if data.exists() and any(data.iterdir()):
        if not (data / MARKER).exists():
            raise ConfigError(f"{data} holds something else than a demo", wish="choose another folder with --data")
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / MARKER).write_text("This folder belongs to `edgemesh demo`, which empties it at its start.\n")


def _page(configuration: Configuration, options: DemoOptions) -> ConsoleSettings | None:
    if options.page_port is None:
        return None
    console = configuration.settings.console or ConsoleSettings()
    return ConsoleSettings(host=console.host, port=options.page_port)


def _simulator(plant: Plant, options: DemoOptions) -> Sequence[str]:
    address = plant.broker.address if plant.broker else options.broker
    return [
        "plant",
        f"--broker={address}",
        f"--site={plant.topics.site}",
        f"--seed={options.seed}",
        f"--first-fault-s={options.first_fault_s}",
        f"--every-s={options.every_s}",
        "--with-parent",
        "--quiet",
    ]


def summary(report: DemoReport) -> str:
    """The report as a few lines for people."""
    readings, faults, alerts, orders = report.readings, report.faults, report.alerts, report.orders
    lines = [
        f"readings  {readings['accepted']} accepted, {readings['delivered']} in the history, {readings['lost']} lost",
        f"faults    {faults['detected']} of {faults['injected']} detected",
        f"alerts    {alerts['raised']} raised, {alerts['false']} without a fault behind them",
        "orders    " + ", ".join(f"{count} {name}" for name, count in orders.items() if count),
    ]
    for name, spread in report.latency_ms.items():
        if spread.p50 is not None:
            lines.append(f"latency   {name.replace('_', ' ')}: p50 {spread.p50} ms, p99 {spread.p99} ms")
    lines += [f"          {alert}" for alert in report.unexplained]
    return "\n".join([*lines, f"broker    {report.broker}; seed {report.seed}"])
