"""Running `edgemesh` as a person would: another process in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).parent / "edgemesh")


def call(*arguments: str | Path, cwd: Path, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; TimeoutExpired (and nothing left running) when it takes longer."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def without(module: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command where a module is not installed."""
    code = f"import sys; sys.modules[{module!r}] = None; from edgemesh.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Running:
    """A command that runs in a process group of its own; what it says goes to files."""

    def __init__(self, arguments: Sequence[str | Path], cwd: Path) -> None:
        self._out, self._err = cwd / "stdout.txt", cwd / "stderr.txt"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [PROGRAM, *map(str, arguments)],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Standard output so far."""
        return self._out.read_text()

    @property
    def complained(self) -> str:
        """Standard error so far."""
        return self._err.read_text()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def interrupt(self) -> None:
        """Ctrl-C, for this process only: what it started must be ended by it."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """Its exit status; fails with what it said when it runs longer."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still runs after {timeout_s} s: {self.said}\n{self.complained}")

    def survivors(self) -> bool:
        """Whether any process of its group is left."""
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def end(self) -> None:
        """See to it that nothing of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def running(*arguments: str | Path, cwd: Path) -> Iterator[Running]:
    """A command that runs until the end of the `with`, or of itself."""
    command = Running(arguments, cwd)
    try:
        yield command
    finally:
        command.end()


def wait_for(condition: Callable[[], object], command: Running, timeout_s: float = 15.0) -> None:
    """Return once the condition holds; fail with what the command said when it does not, or when it has ended."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline or not command.alive:
            pytest.fail(f"did not come true: {command.said}\n{command.complained}")
        time.sleep(0.02)
