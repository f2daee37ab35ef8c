"""Ticks without drift."""

import asyncio
from collections.abc import AsyncIterator

LATE_S = 1.0
"""Further behind than this (a suspended machine), ticks are left out instead of made up for."""


async def ticks(period_s: float) -> AsyncIterator[float]:
    """Yields the seconds since the start, every `period_s`; a late tick does not delay the ones after it."""
    loop = asyncio.get_running_loop()
    start = due = loop.time()
    while True:
        due += period_s
        now = loop.time()
        if now - due > LATE_S:
            due = now
        await asyncio.sleep(max(0.0, due - now))
        yield loop.time() - start
