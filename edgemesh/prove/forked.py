"""Programs of the first hour: forked from a process that has our modules loaded, so that a whole site is up at once.

A site of ten programs that each start an interpreter takes seconds of all cores before anything flows. Whatever is
started again after a fault starts as in a plant, interpreter and all: how long that takes is part of a recovery.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_LOADED = (
    *("edgemesh.cli", "edgemesh.launch.run", "edgemesh.launch.plant", "edgemesh.prove.broken", "firmware_sim.cli"),
    *("edgemesh.agents.runtime", "edgemesh.agents.gateway", "edgemesh.agents.detector", "edgemesh.agents.recorder"),
    *("edgemesh.agents.scheduler", "edgemesh.agents.registry", "edgemesh.bus.mqtt", "edgemesh.drivers.count.driver"),
)


class Forked:
    """A running program: a Python module with its arguments. It has what is used of `asyncio.subprocess.Process`."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_LOADED))
        self._process = context.Process(target=_run, args=(module, tuple(arguments), str(log)), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, minus the signal that killed it; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal. ProcessLookupError: it is gone."""
        os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait until it is gone and return its exit status."""
        await asyncio.to_thread(self._process.join)
        return self._process.exitcode or 0


def _run(module: str, arguments: tuple[str, ...], log: str) -> None:
    """What `python -m MODULE ARGUMENTS` does, with nothing to read and its output in a file."""
    with Path(os.devnull).open("rb") as nothing, Path(log).open("ab") as output:
        for source, descriptor in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source.fileno(), descriptor)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
