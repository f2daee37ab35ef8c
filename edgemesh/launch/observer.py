"""A client of its own that follows the bus for people: the overview, the page and the view in the terminal."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol, TextIO

from edgemesh.bus.contract import Bus, Message
from edgemesh.configuration.settings import ConsoleSettings
from edgemesh.console.lines import LineView
from edgemesh.console.overview import Overview, patterns
from edgemesh.console.snapshot import Snapshot
from edgemesh.launch.plant import Plant
from edgemesh.wire.topics import Topics

if TYPE_CHECKING:
    from edgemesh.console.server import ConsoleServer

REFRESH_S = 0.5


class View(Protocol):
    """What shows snapshots to a person."""

    def open(self) -> None:
        """Begin to show."""
        ...

    def update(self, snapshot: Snapshot) -> None:
        """Show what is new."""
        ...

    def close(self) -> None:
        """Leave the screen as it was."""
        ...


def follow(bus: Bus, overview: Overview, topics: Topics) -> None:
    """Feed the overview with everything that it shows."""

    def take(message: Message) -> None:
        overview.take(message.topic, message.payload, message.retained, time.monotonic(), time.time_ns())
        message.settle()

    for pattern in patterns(topics):
        bus.subscribe(pattern, take)
    bus.on_link(lambda up: overview.link(up, time.monotonic()))


def make_view(stream: TextIO, title: str) -> View:
    """The live view on a terminal, plain lines elsewhere or where rich is not installed."""
    if stream.isatty():
        try:
            from rich.console import Console

            from edgemesh.console.terminal import TerminalView
        except ImportError:
            return LineView(stream, title)
        return TerminalView(Console(file=stream), title)
    return LineView(stream, title)


class Observer:
    """Follows a plant's bus; publishes nothing."""

    def __init__(
        self, plant: Plant, name: str, *, page: ConsoleSettings | None = None, view: View | None = None
    ) -> None:
        broker = f"{plant.broker.kind} {plant.broker.version}" if plant.broker else ""
        self.overview = Overview(plant.topics.site, broker=broker)
        self.bus = plant.connect(f"edgemesh-{plant.topics.site}-{name}", None)
        self.url = ""
        self._topics, self._history = plant.topics, plant.history()
        self._page, self._view = page, view
        self._server: ConsoleServer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open page and view and begin to follow. ConfigError when the page's port is in use."""
        if self._page:
            from edgemesh.console.server import ConsoleServer  # aiohttp is heavy: only where a page is wanted
            from edgemesh.launch.why import why

            explain = None if self._history is None else partial(why, file=self._history)
            server = ConsoleServer(self.overview, self._page.host, self._page.port, explain=explain)
            await server.open()
            self._server, self.url = server, server.url
        follow(self.bus, self.overview, self._topics)
        await self.bus.open()
        if self._view:
            self._view.open()
            self._task = asyncio.create_task(self._refresh(self._view), name="view")

    async def leave_view(self) -> None:
        """Show the last of it and give the screen back; what comes after is no news to a person."""
        if self._task and self._view:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self._view.update(self.snapshot())
            self._view.close()

    async def stop(self) -> None:
        """Give the screen back and close; returns when nothing of it runs any more."""
        await self.leave_view()
        await self.bus.close()
        if self._server is not None:
            await self._server.close()

    def snapshot(self) -> Snapshot:
        """What is going on now."""
        return self.overview.snapshot(time.monotonic(), time.time_ns())

    async def _refresh(self, view: View) -> None:
        while True:
            view.update(self.snapshot())
            await asyncio.sleep(REFRESH_S)
