"""The life of the process: runs services until a signal, or until the parent is gone."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

STDIN = 0
STOP_S = 0.7
"""Time for a clean stop; what has not ended by then is cut off."""


async def run_until_stopped(services: Sequence[Coroutine[Any, Any, None]], *, with_parent: bool) -> None:
    """Runs all services until SIGTERM or SIGINT, or with `with_parent` until stdin closes.

    The first service that fails stops the others, and its exception is raised.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if with_parent:
        threading.Thread(target=_await_orphanhood, args=(loop, stop), daemon=True).start()
    tasks = [loop.create_task(service) for service in services]
    stopper = loop.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, stopper], return_when=asyncio.FIRST_COMPLETED)
    stopper.cancel()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=STOP_S)
    for ended in done:
        if ended is not stopper:
            ended.result()


def _await_orphanhood(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Blocks until stdin ends, then asks the loop to stop. Runs in a thread, since stdin may be a plain file."""
    with contextlib.suppress(OSError):  # a stdin that is closed already is a parent that is gone
        while os.read(STDIN, 4096):
            pass
    if not loop.is_closed():
        loop.call_soon_threadsafe(stop.set)
