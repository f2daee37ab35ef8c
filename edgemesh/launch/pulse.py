"""The pulse of the agents: a beat twice a second, to the watchdog over its pipe and to systemd, while all is well.

A thread beats, so that a step that is slow on the event loop (a card that takes 2 s for a commit, a forest that learns)
is told from a loop that hangs. A frozen process beats no more whatever it is frozen in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

BEAT_S = 0.5
LOOP_S = 1.5
"""An event loop that did not come round for so long hangs, unless a step is under way."""
STUCK_S = 60.0
"""A step that handles no further item, commits nothing and does not end for so long is stuck."""


class Works(Protocol):
    """What can be seen from another thread of an agent at work."""

    @property
    def busy(self) -> bool:
        """Whether a step is under way."""
        ...

    @property
    def progress(self) -> int:
        """Rises with every item that a step handles."""
        ...


class Vitals:
    """Whether event loop and agents get on. Times are seconds of one monotonic clock."""

    def __init__(self, agents: Iterable[Works], *, stuck_s: float = STUCK_S) -> None:
        self._agents = tuple(agents)
        self._stuck_s = stuck_s
        self._since: dict[int, tuple[int, float]] = {}
        self._round_s = 0.0

    def came_round(self, now_s: float) -> None:
        """The event loop lives."""
        self._round_s = now_s

    def good(self, now_s: float) -> bool:
        """Whether no step stands still for too long, and the loop came round lately or has a step on it."""
        busy = False
        for number, agent in enumerate(self._agents):
            if not agent.busy:
                self._since.pop(number, None)
                continue
            busy = True
            progress = agent.progress
            known, since_s = self._since.get(number, (-1, 0.0))
            if known != progress:
                self._since[number] = (progress, now_s)
            elif now_s - since_s > self._stuck_s:
                return False
        return busy or now_s - self._round_s < LOOP_S


class Pulse:
    """Beats from `start` to `stop`, if somebody listens.

    `pipe` is the watchdog's (see `stand_guard`). systemd listens where `environment` says so: it is told READY=1,
    STOPPING=1 at the end, and WATCHDOG=1 with every beat if WATCHDOG_USEC is set.
    """

    def __init__(self, vitals: Vitals, pipe: int | None, environment: Mapping[str, str] = os.environ) -> None:
        self._vitals, self._pipe = vitals, pipe
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._wanted_s = int(environment.get("WATCHDOG_USEC") or 0) / 1e6 if self._address else 0.0
        if pipe is None and environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            self._wanted_s = 0.0  # it is meant for another process
        self._every_s = min(BEAT_S, self._wanted_s / 3) if self._wanted_s else BEAT_S
        self._over = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The agents run: say so, and beat from now on."""
        self._notify("READY=1")
        if self._pipe is not None or self._wanted_s:
            self._vitals.came_round(time.monotonic())
            self._task = asyncio.get_running_loop().create_task(self._come_round(), name="pulse")
            threading.Thread(target=self._beat_on, name="pulse", daemon=True).start()

    def leave(self) -> None:
        """The agents are about to stop: say so."""
        self._notify("STOPPING=1")

    def stop(self) -> None:
        """Beat no more."""
        self._over.set()
        if self._task:
            self._task.cancel()

    async def _come_round(self) -> None:
        while True:
            self._vitals.came_round(time.monotonic())
            await asyncio.sleep(self._every_s)

    def _beat_on(self) -> None:
        while not self._over.wait(self._every_s):
            if self._vitals.good(time.monotonic()):
                self._beat()

    def _beat(self) -> None:
        if self._wanted_s:
            self._notify("WATCHDOG=1")
        if self._pipe is not None:
            try:
                os.write(self._pipe, b".")
            except BlockingIOError:
                return  # the watchdog is stopped, and will read what there is when it goes on
            except BrokenPipeError:  # the watchdog is gone
                self._over.set()
                os.kill(os.getpid(), signal.SIGTERM)

    def _notify(self, word: str) -> None:
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(word.encode(), self._address)
