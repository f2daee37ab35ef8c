"""Ctrl-C and SIGTERM as an event that everything waits for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopping_on_signals(stopping: asyncio.Event) -> Iterator[None]:
    """Set the event at the first signal; a second one ends the program the hard way."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        for number in STOPPING:
            loop.remove_signal_handler(number)

    for number in STOPPING:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)
