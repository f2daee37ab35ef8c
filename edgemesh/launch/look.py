"""Looking at a site that runs elsewhere: the live view and the tap."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from edgemesh.bus.address import Address, parse_addresses
from edgemesh.bus.mqtt import MqttBus
from edgemesh.configuration.loading import load
from edgemesh.configuration.settings import EMBEDDED
from edgemesh.console.overview import Overview
from edgemesh.errors import BusUnavailable
from edgemesh.launch.observer import REFRESH_S, follow, make_view
from edgemesh.launch.plant import address_file
from edgemesh.launch.signals import stopping_on_signals
from edgemesh.launch.tap import Say, linked, tap
from edgemesh.wire.topics import Topics

LINK_S = 3.0


def _locate(file: Path, broker: str | None, site: str | None) -> tuple[Sequence[Address], Topics]:
    """Where the site's broker listens: as asked, as configured, or as the running embedded broker has left word."""
    if broker and site:
        return parse_addresses(broker), Topics(site)
    configuration = load(file)
    topics = Topics(site or configuration.settings.site.id)
    wanted = broker or configuration.settings.site.broker
    if wanted not in EMBEDDED:
        return parse_addresses(wanted), topics
    word = address_file(configuration.data)
    if not word.exists():
        raise BusUnavailable(f"no embedded broker of {file} runs here", "start it, or name a broker with --broker")
    return parse_addresses(word.read_text().strip()), topics


async def connect(file: Path, broker: str | None, site: str | None) -> tuple[MqttBus, Topics]:
    """A client of its own on a site's bus. BusUnavailable when the broker does not answer within 3 s."""
    addresses, topics = _locate(file, broker, site)
    bus = MqttBus(addresses, f"edgemesh-look-{secrets.token_hex(4)}")
    await bus.open()
    if not await linked(bus, within_s=LINK_S):
        await bus.close()
        raise BusUnavailable(f"no broker answers at {', '.join(map(str, addresses))}", "is it running?")
    return bus, topics


async def look(file: Path, broker: str | None, site: str | None, *, stream: TextIO) -> None:
    """Show a site live until Ctrl-C. BusUnavailable when its broker does not answer within 3 s."""
    bus, topics = await connect(file, broker, site)
    overview = Overview(topics.site)
    stopping = asyncio.Event()
    view = make_view(stream, topics.site)
    follow(bus, overview, topics)
    view.open()
    try:
        with stopping_on_signals(stopping):
            while not stopping.is_set():
                view.update(overview.snapshot(time.monotonic(), time.time_ns()))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), REFRESH_S)
    finally:
        view.close()
        await bus.close()


async def listen(
    file: Path, broker: str | None, site: str | None, pattern: str, say: Say, *, count: int | None, wait_s: float | None
) -> int:
    """Say what comes on the bus, a line a message, until enough has come or Ctrl-C; return how many."""
    bus, topics = await connect(file, broker, site)
    stopping = asyncio.Event()
    with stopping_on_signals(stopping):
        listening = asyncio.ensure_future(tap(bus, topics, pattern, say, count=count, wait_s=wait_s))
        stop = asyncio.ensure_future(stopping.wait())
        await asyncio.wait([listening, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not listening.done():
            listening.cancel()
        results = await asyncio.gather(listening, return_exceptions=True)
    return results[0] if isinstance(results[0], int) else 0
