"""The watchdog: a child that falls silent is ended and started again, one that says what is wrong is left alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WaitFor = Callable[..., None]

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from edgemesh.launch import watchdog

watchdog.SILENT_S, watchdog.STOP_S, watchdog.PAUSE_S, watchdog.LOOK_S = {silent_s}, 0.3, (0.01, 0.1), 0.02
pipe = watchdog.stand_guard()
starts = Path("starts")
with starts.open("a") as file:
    file.write(f"{{os.getpid()}}\\n")
start = len(starts.read_text().splitlines())

def beat(times=1):
    for _ in range(times):
        os.write(pipe, b".")
        time.sleep(0.02)

{body}
"""
FOREVER = "\nwhile True:\n    beat()"


class Watchdog:
    """A watchdog with its child, in a folder of its own."""

    def __init__(self, folder: Path, body: str, silent_s: float) -> None:
        self._starts, self._said = folder / "starts", folder / "said"
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT.format(body=body, silent_s=silent_s)], cwd=folder, stderr=said
            )

    @property
    def starts(self) -> list[int]:
        """The process ids of the child's starts so far."""
        return [int(line) for line in self._starts.read_text().splitlines()] if self._starts.exists() else []

    @property
    def ready(self) -> bool:
        """Whether the child has said that it is."""
        return self._starts.with_name("ready").exists()

    @property
    def said(self) -> str:
        """Its standard error."""
        return self._said.read_text()

    def status(self) -> int:
        """Its exit status, once it is over."""
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still runs: {self.said}")

    def end(self) -> None:
        """Leave nothing behind."""
        for pid in [self.process.pid, *self.starts]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


Guarded = Callable[..., Watchdog]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """`guarded(body)`: run `body` in the child of a watchdog; both are gone after the test."""
    made: list[Watchdog] = []

    def start(body: str, *, silent_s: float = 0.5) -> Watchdog:
        made.append(Watchdog(tmp_path, body, silent_s))
        return made[-1]

    yield start
    for each in made:
        each.end()


def gone(pid: int) -> bool:
    """Whether a process is no more, or only waits to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_frozen(guarded: Guarded) -> None:
    """A child that stops beating is ended, whatever it is frozen in, and started again."""
    watchdog = guarded("beat(3)\nif start == 1:\n    os.kill(os.getpid(), signal.SIGSTOP)\nsys.exit(0)")
    assert watchdog.status() == 0
    assert len(watchdog.starts) == 2
    assert "was silent for" in watchdog.said
    assert gone(watchdog.starts[0])


@pytest.mark.parametrize("status", [0, 2])
def test_said_why(guarded: Guarded, status: int) -> None:
    """What is done, or what the user must mend, is not started again; the status is the child's."""
    watchdog = guarded(f"beat()\nsys.exit({status})")
    assert watchdog.status() == status
    assert len(watchdog.starts) == 1


def test_crashed(guarded: Guarded) -> None:
    """A child that fails or is killed is started again."""
    watchdog = guarded(
        "if start == 1:\n    sys.exit(1)\nif start == 2:\n    os.kill(os.getpid(), signal.SIGKILL)\nsys.exit(0)"
    )
    assert watchdog.status() == 0
    assert len(watchdog.starts) == 3
    assert "status 1;" in watchdog.said
    assert "status 137;" in watchdog.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop(guarded: Guarded, number: signal.Signals, wait_for: WaitFor) -> None:
    """SIGTERM and SIGINT reach the child; it ends in its own way, and nothing is started again."""
    watchdog = guarded(f"signal.signal({int(number)}, lambda *_: sys.exit(0))\nPath('ready').touch(){FOREVER}")
    wait_for(lambda: watchdog.ready, 10)
    watchdog.process.send_signal(number)
    assert watchdog.status() == 0
    assert len(watchdog.starts) == 1


def test_does_not_stop(guarded: Guarded, wait_for: WaitFor) -> None:
    """A child that is told to end and does not is ended."""
    watchdog = guarded(f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\nPath('ready').touch(){FOREVER}")
    wait_for(lambda: watchdog.ready, 10)
    watchdog.process.send_signal(signal.SIGTERM)
    assert watchdog.status() == 128 + signal.SIGKILL
    assert "did not end" in watchdog.said


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is noticed at the next beat")
def test_no_orphan(guarded: Guarded, wait_for: WaitFor) -> None:
    """When the watchdog is killed its child goes with it, frozen or not: nobody is left who holds a lock."""
    watchdog = guarded("beat(3)\nos.kill(os.getpid(), signal.SIGSTOP)", silent_s=60.0)
    wait_for(lambda: watchdog.starts, 10)
    watchdog.process.kill()
    watchdog.process.wait()
    wait_for(lambda: gone(watchdog.starts[0]), 10)


def test_the_watchdog_itself_stopped(guarded: Guarded, wait_for: WaitFor) -> None:
    """After a Ctrl-Z of the watchdog a child that lives is left alone."""
    watchdog = guarded(
        "beat(3)\nos.kill(os.getppid(), signal.SIGSTOP)\nbeat(50)\nos.kill(os.getppid(), signal.SIGCONT)\n"
        "beat(10)\nsys.exit(0)"
    )
    assert watchdog.status() == 0
    assert len(watchdog.starts) == 1


def test_a_wrong_configuration(tmp_path: Path) -> None:
    """`edgemesh run --watched` says what is wrong once and ends with status 2, as without it."""
    command = [sys.executable, "-m", "edgemesh", "run", str(tmp_path / "none.toml"), "--watched"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("there is no such file") == 1
