"""The simulated plant as what it plays: another program, of which only its topics are known."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from edgemesh.errors import InputError

STOP_S = 1.5


class Simulator:
    """Runs `firmware-sim` beside us; it ends when we do, however we end."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._talk: asyncio.Task[None] | None = None
        self.said: list[str] = []

    async def start(self) -> None:
        """Start the program; what it says on standard error is kept (the last 50 lines)."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "firmware_sim",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._talk = asyncio.create_task(self._listen(self._process))

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self.said = [*self.said[-49:], line.decode(errors="replace").rstrip()]

    def check(self) -> None:
        """Raise InputError when the program has ended by itself: then nothing is simulated any more."""
        if self._process and self._process.returncode is not None:
            said = self.said[-1] if self.said else "it said nothing"
            raise InputError(f"the simulator has ended with status {self._process.returncode}: {said}")

    async def stop(self) -> None:
        """Ask it to end, and see to it that it does."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        if process.stdin:
            process.stdin.close()
        if self._talk:
            await self._talk
        self._process = None
