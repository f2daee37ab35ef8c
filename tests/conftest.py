"""What tests of several floors share: waiting without sleeping, free ports, a real Mosquitto, a link that can break."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from edgemesh.bus.ports import take_ports
from edgemesh.prove.brokers import KINDS, find_program

WaitFor = Callable[..., None]
Until = Callable[..., Awaitable[None]]


@pytest.fixture
def wait_for() -> WaitFor:
    """Return once the condition holds, fail after the time-out: `wait_for(condition, timeout_s=5)`."""

    def wait(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"did not come true within {timeout_s} s")
            time.sleep(0.002)

    return wait


@pytest.fixture
def until() -> Until:
    """As `wait_for`, for async tests: the event loop runs on while the test awaits."""

    async def wait(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"did not come true within {timeout_s} s")
            await asyncio.sleep(0.002)

    return wait


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens now, and which no client will be given."""
    return take_ports(1)[0]


@pytest.fixture(scope="session")
def mosquitto_program() -> str:
    """Where Mosquitto is. Not installed: skip with a hint, but fail where the environment says that this is CI."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        hint = "needs a real Mosquitto; install it (Debian: apt install mosquitto)"
        if os.environ.get("CI"):
            pytest.fail(hint)
        pytest.skip(hint)
    return program


@pytest.fixture(scope="session")
def need_server() -> Callable[[str], None]:
    """`need_server(kind)`: without the server for a kind of `--broker`: skip with a hint, but fail in CI."""

    def need(kind: str) -> None:
        wanted = KINDS[kind]
        if wanted.program and find_program(wanted.program) is None:
            hint = f"needs a real {wanted.program}; install it (Debian: apt install {wanted.package})"
            if os.environ.get("CI"):
                pytest.fail(hint)
            pytest.skip(hint)

    return need


class Mosquitto:
    """A real Mosquitto on a loopback port, nothing kept on disk. `port` and `url` stay the same over restarts."""

    def __init__(self, program: str, port: int, folder: Path, settings: str) -> None:
        self.port, self.url = port, f"mqtt://127.0.0.1:{port}"
        self._program, self._folder = program, folder
        self._configuration = folder / f"mosquitto-{port}.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        self._configuration.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
            f"{user}{settings}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; only while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Run it and return when it accepts connections."""
        with (self._folder / f"mosquitto-{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self._configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
            except OSError:
                assert self._process.poll() is None, (self._folder / f"mosquitto-{self.port}.log").read_text()
                assert time.monotonic() < deadline, "Mosquitto did not start within 5 s"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """End it as a power cut would; `start` runs it again, empty."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order. May be called again."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def start_mosquitto(tmp_path: Path, mosquitto_program: str) -> Iterator[Callable[[str], Mosquitto]]:
    """Run a Mosquitto with more lines of configuration; all are stopped after the test."""
    running: list[Mosquitto] = []

    def start(settings: str = "") -> Mosquitto:
        running.append(Mosquitto(mosquitto_program, take_ports(1)[0], tmp_path, settings))
        running[-1].start()
        return running[-1]

    yield start
    for broker in running:
        broker.stop()


@pytest.fixture
def mosquitto(start_mosquitto: Callable[[str], Mosquitto]) -> Mosquitto:
    """A running Mosquitto with room for many unsettled messages."""
    return start_mosquitto("max_inflight_messages 1000\nmax_queued_messages 100000")


class Relay:
    """A TCP link to a server that can be cut or fall silent. Its thread ends with `close`."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._broken = False
        self._silent = threading.Event()
        self._pairs: list[socket.socket] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """Break every connection now, without a word, and refuse new ones until `heal`."""
        self._broken = True
        self._drop()

    def silence(self) -> None:
        """Keep the connections open but let nothing through any more, in either direction, until `heal`."""
        self._silent.set()

    def heal(self) -> None:
        """Let connections through again; those that fell silent are broken."""
        if self._silent.is_set():
            self._drop()
        self._silent.clear()
        self._broken = False

    def close(self) -> None:
        """End for good."""
        self._broken = True
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._drop()
        for thread in self._threads:
            thread.join(2)

    def _drop(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for sock in pairs:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                if self._broken:
                    raise ConnectionRefusedError
                upstream = socket.create_connection(("127.0.0.1", self._upstream_port), 1)
            except OSError:
                client.close()
                continue
            for sock in (client, upstream):
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ends = [2]
            with self._lock:
                self._pairs += [client, upstream]
            for source, target in ((client, upstream), (upstream, client)):
                self._threads.append(threading.Thread(target=self._pump, args=(source, target, ends), daemon=True))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, target: socket.socket, ends: list[int]) -> None:
        try:
            while data := source.recv(65_536):
                if not self._silent.is_set():
                    target.sendall(data)
            if not self._silent.is_set():
                target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        with self._lock:
            ends[0] -= 1
            if ends[0] == 0:
                for sock in (source, target):
                    sock.close()
                    if sock in self._pairs:
                        self._pairs.remove(sock)


@pytest.fixture
def relay() -> Iterator[Callable[[int], Relay]]:
    """`relay(port)`: a way to 127.0.0.1:port that can be cut, fall silent and heal; all are closed after the test."""
    relays: list[Relay] = []

    def start(upstream_port: int) -> Relay:
        relays.append(Relay(upstream_port))
        return relays[-1]

    yield start
    for each in relays:
        each.close()
