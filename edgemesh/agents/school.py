"""The school: where lessons are learnt, off the agent's steps and one at a time.

scikit-learn holds the interpreter's lock for long stretches, so a thread would still keep the agent waiting: a process
of low priority does it, begun with the first lesson and ended after the last. Lessons and results go through its
standard input and output, each with its length before it. Where no process can be had, a thread learns.

`python -m edgemesh.agents.school` is that process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

from edgemesh.agents.core import Lesson

logger = logging.getLogger(__name__)

Answer = Callable[[Lesson, bytes], None]
"""Told, in the school's thread, what was learnt; empty: nothing could be."""
IDLE_S = 10.0
"""The process ends when nothing was to be learnt for this long: scikit-learn takes 130 MB."""
LONGEST_S = 120.0
TRIES = 2
NICE = 10
_LENGTH = struct.Struct("<I")


class School:
    """Takes lessons; each is answered once, in order. Nothing runs until the first of them."""

    def __init__(self, name: str, answer: Answer, *, command: tuple[str, ...] = ()) -> None:
        """`command`: the process that learns; left out: this module's."""
        self._name, self._answer = name, answer
        self._command = command or (sys.executable, "-m", "edgemesh.agents.school")
        self._lessons: queue.SimpleQueue[Lesson | None] = queue.SimpleQueue()
        self._due: set[tuple[str, str]] = set()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None

    def ask(self, lesson: Lesson) -> None:
        """Have it learnt; what is due already is not learnt twice. Returns at once."""
        name = (lesson.asset, lesson.key)
        with self._lock:
            if self._closed or name in self._due:
                return
            self._due.add(name)
        self._lessons.put(lesson)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"{self._name}.school", daemon=True)
            self._thread.start()

    def close(self, wait_s: float = 1.0) -> None:
        """Drop what is being learnt and what waits; returns within `wait_s` or a little more."""
        with self._lock:
            self._closed = True
            process = self._process
        self._lessons.put(None)
        if process is not None:
            process.kill()
        if self._thread is not None:
            self._thread.join(wait_s)  # a thread that learns itself goes on as a daemon, and is not listened to

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            try:
                lesson = self._lessons.get(timeout=IDLE_S if self._process else None)
            except queue.Empty:
                self._end_process()
                continue
            if lesson is None:
                break
            result = self._learn(lesson)
            with self._lock:
                self._due.discard((lesson.asset, lesson.key))
            if not self._closed:
                self._answer(lesson, result)
        self._end_process()

    def _learn(self, lesson: Lesson) -> bytes:
        for _ in range(TRIES):
            if self._closed:
                return b""
            try:
                return self._learn_there(lesson.content)
            except (OSError, EOFError) as error:
                self._end_process()
                if not self._closed:
                    logger.warning("%s: the process that learns failed: %s", self._name, error)
        if self._closed:
            return b""
        try:
            from edgemesh.detect.methods.lessons import learn_encoded

            return learn_encoded(lesson.content)
        except Exception:
            logger.exception("%s: %s can't be learnt", self._name, lesson.asset)
            return b""

    def _learn_there(self, content: bytes) -> bytes:
        """Have the process learn it; EOFError or OSError when it does not, or takes too long."""
        process = self._have_process()
        assert process.stdin is not None
        assert process.stdout is not None
        too_long = threading.Timer(LONGEST_S, process.kill)
        too_long.start()
        try:
            _write(process.stdin, content)
            result = _read(process.stdout)
        finally:
            too_long.cancel()
        if not result:
            raise EOFError("it ended, or could not learn the lesson")
        return result

    def _have_process(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise EOFError("closed")
            if self._process is None:
                pipe = subprocess.PIPE
                env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
                self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, env=env)
            return self._process

    def _end_process(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        process.wait()


def _write(stream: IO[bytes], content: bytes) -> None:
    stream.write(_LENGTH.pack(len(content)) + content)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes:
    """The next message; empty at the end."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    size = _LENGTH.unpack(head)[0]
    content = stream.read(size)
    return content if len(content) == size else b""


def main() -> None:
    """Learn what comes, until nothing more does. Nothing but results may be written to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who began this process ends it
    if hasattr(os, "nice"):
        os.nice(NICE)
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    from edgemesh.detect.methods.lessons import learn_encoded

    while content := _read(sys.stdin.buffer):
        began_s = time.process_time()
        _write(results, learn_encoded(content))
        logger.debug("a lesson of %d bytes took %.3f s", len(content), time.process_time() - began_s)


if __name__ == "__main__":
    main()
