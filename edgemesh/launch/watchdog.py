"""The watchdog: a light process that runs the agents as its child, and starts them anew when they fall silent.

The child is a fork: it costs no second start of Python, and the little that is loaded by then is shared. It beats over
a pipe (`edgemesh.launch.pulse`). Nothing heavy may be imported before the fork, and no thread started.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

logger = logging.getLogger(__name__)

SILENT_S = 3.0
"""A child that beat before and has been silent for longer is ended."""
START_S = 60.0
"""How long a child may take until its first beat: a first start from a slow card takes its time."""
STOP_S = 10.0
"""How long a child may take to end once it was told to."""
PAUSE_S = (0.1, 30.0)
STEADY_S = 60.0
"""A child that ran for so long makes the next pause the first one again."""
LOOK_S = 0.2
FINAL = (0, 2)
"""Statuses after which nothing is started again: all is done, or the user must mend configuration or call."""
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """One start of the agents: its process, the end of the pipe on which it is heard, and when that was last."""

    pid: int
    pipe: int
    began_s: float
    heard_s: float = 0.0
    told_s: float = 0.0

    def listen(self, now_s: float) -> None:
        """Take note of the beats that have come."""
        with contextlib.suppress(BlockingIOError):
            if os.read(self.pipe, 4_096):
                self.heard_s = now_s

    def fault(self, now_s: float) -> str:
        """Why it must be ended; empty: it need not."""
        if self.told_s:
            return f"did not end within {STOP_S:.0f} s" if now_s - self.told_s > STOP_S else ""
        if not self.heard_s:
            return f"did not get going within {START_S:.0f} s" if now_s - self.began_s > START_S else ""
        silent_s = now_s - self.heard_s
        return f"was silent for {silent_s:.1f} s" if silent_s > SILENT_S else ""

    def kill(self) -> None:
        """`kill -9` it and what it started in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def stand_guard() -> int:
    """Fork. In the child: return the end of a pipe on which to beat, for `Pulse`. The parent does not return.

    It exits with the status of a child that ended by itself with 0 or 2 (a configuration that can't be used) or after
    SIGTERM, SIGINT or SIGHUP, which it passes on. A child that ended otherwise or fell silent is started again after a
    pause that doubles up to 30 s. When the parent dies, so does the child (on Linux).
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, signal.SIGCHLD})
    pause_s = PAUSE_S[0]
    while True:
        child = _start()
        if isinstance(child, int):
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return child
        status = _watch(child)
        os.close(child.pipe)
        if child.told_s or status in FINAL:
            sys.exit(status)
        if time.monotonic() - child.began_s > STEADY_S:
            pause_s = PAUSE_S[0]
        logger.error("the agents ended with status %d; starting again in %.1f s", status, pause_s)
        if number := signal.sigtimedwait(PASSED_ON, pause_s):
            sys.exit(128 + number.si_signo)
        pause_s = min(2 * pause_s, PAUSE_S[1])


def _start() -> Child | int:
    """Fork: the child for the parent, the pipe for the child."""
    read, write = os.pipe()
    ours = os.getpid()
    pid = os.fork()
    if pid:
        os.close(write)
        os.set_blocking(read, False)
        with contextlib.suppress(OSError):  # the child does it, too: whoever comes first
            os.setpgid(pid, pid)
        return Child(pid, read, time.monotonic())
    os.close(read)
    os.set_blocking(write, False)
    import ctypes  # the watchdog itself does without

    # In a group of its own a Ctrl-C reaches it once, through the watchdog.
    os.setpgid(0, 0)
    with contextlib.suppress(OSError, AttributeError):  # elsewhere than on Linux it notices at the next beat
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != ours:
        sys.exit(1)
    return write


def _watch(child: Child) -> int:
    """Return the exit status of the child once it is gone; 128 and the signal for one that was killed."""
    while True:
        for number in _signals(LOOK_S):
            if number in PASSED_ON:
                child.told_s = child.told_s or time.monotonic()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, number)
        gone = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if gone is not None:
            child.kill()  # what it leaves behind
            os.waitpid(child.pid, 0)
            return gone.si_status if gone.si_code == os.CLD_EXITED else 128 + gone.si_status
        now_s = time.monotonic()
        child.listen(now_s)
        if fault := child.fault(now_s):
            logger.error("the agents' process %d %s: it is ended", child.pid, fault)
            child.kill()


def _signals(within_s: float) -> Iterator[int]:
    """The signals that come within the time, all that are waiting as soon as there is one."""
    while info := signal.sigtimedwait((*PASSED_ON, signal.SIGCHLD), within_s):
        yield info.si_signo
        within_s = 0.0
