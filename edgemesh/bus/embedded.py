"""The embedded broker: Mosquitto as a private process where it is installed, else amqtt in this process.

`python -m edgemesh.bus.embedded --port 1883` runs one in the foreground.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgemesh.bus.address import Address
from edgemesh.bus.mosquitto import MosquittoProcess, find_mosquitto
from edgemesh.bus.ports import take_ports
from edgemesh.errors import BusUnavailable

if TYPE_CHECKING:
    from edgemesh.bus.amqtt_broker import AmqttThread

Kind = Literal["mosquitto", "amqtt"]
Preference = Literal["auto", "mosquitto", "amqtt"]

_INSTALL_EITHER = "install Mosquitto (Debian: apt install mosquitto) or amqtt (pip install 'edgemesh[broker]')"


class EmbeddedBroker:
    """A running broker of our own on 127.0.0.1, without a password and without anything on disk but its log.

    `pid` is Mosquitto's process id, None for amqtt.
    """

    def __init__(self, kind: Kind, server: MosquittoProcess | AmqttThread, port: int) -> None:
        self.kind: Kind = kind
        self.version = server.version
        self.address = Address("127.0.0.1", port)
        self.pid = server.pid if isinstance(server, MosquittoProcess) else None
        self._server = server

    async def stop(self) -> None:
        """End the broker and return when it is gone, within a second. May be called again."""
        await self._server.stop()


async def start_broker(
    prefer: Preference = "auto", port: int = 0, *, folder: Path, also: Sequence[str] = ()
) -> EmbeddedBroker:
    """Start a broker and return when it accepts connections; port 0 takes a free one.

    `also` are addresses of this machine on which it listens besides 127.0.0.1; anybody who reaches them may come in.

    Call it on the main thread: Mosquitto ends with the thread that started it. Raises BusUnavailable, with what to do
    about it, when the port is in use, the program is missing or does not start.
    """
    program = None if prefer == "amqtt" else find_mosquitto()
    if program is None and prefer == "mosquitto":
        raise BusUnavailable("Mosquitto is not installed", "Debian: apt install mosquitto; or choose amqtt")
    port = _take_port(port)
    if program is not None:
        return EmbeddedBroker("mosquitto", await MosquittoProcess.start(program, port, folder, also), port)
    try:
        from edgemesh.bus.amqtt_broker import AmqttThread
    except ImportError as missing:
        raise BusUnavailable("no broker is installed here", _INSTALL_EITHER) from missing
    return EmbeddedBroker("amqtt", await AmqttThread.start(port, also), port)


def _take_port(port: int) -> int:
    """Return a port that is free now; 0: any. Raises BusUnavailable when the wanted one is not."""
    if not port:
        return take_ports(1)[0]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            raise BusUnavailable(
                f"port {port} on 127.0.0.1 can't be had: {problem.strerror}",
                "stop what listens there, use it as your broker, or choose another port (0 takes a free one)",
            ) from problem
    return port


async def _run_in_foreground(prefer: Preference, port: int, folder: Path, also: Sequence[str]) -> None:
    broker = await start_broker(prefer, port, folder=folder, also=also)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.stdout.write(f"{broker.kind} {broker.version} at {broker.address}\n")
    sys.stdout.flush()
    await stop.wait()
    await broker.stop()


def main() -> int:
    """Run a broker until SIGINT or SIGTERM; the exit status is 1 when none can be had."""
    parser = argparse.ArgumentParser(prog="python -m edgemesh.bus.embedded", description="Run an embedded broker.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 (the default) takes a free one")
    parser.add_argument("--prefer", choices=("auto", "mosquitto", "amqtt"), default="auto")
    parser.add_argument("--host", action="append", default=[], help="an address to listen on besides 127.0.0.1")
    parser.add_argument("--folder", type=Path, help="where configuration and log go (default: a temporary folder)")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgemesh-broker-") as scratch:
        try:
            folder = wanted.folder or Path(scratch)
            asyncio.run(_run_in_foreground(wanted.prefer, wanted.port, folder, wanted.host))
        except BusUnavailable as problem:
            sys.stderr.write(f"{problem}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
