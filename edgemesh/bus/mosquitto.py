"""A private Mosquitto: found, configured, started, and gone when we are gone."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from edgemesh.errors import BusUnavailable

_USUAL_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin")
_LOG = "mosquitto.log"
_READY_S, _TERMINATE_S = 5.0, 0.7

# Runs as the child until it becomes the broker: asks the kernel to end it when the thread that started it is gone.
_BECOME = """
import ctypes, os, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
except (OSError, AttributeError):
    pass
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

_CONFIGURATION = """\
# Written by edgemesh at each start of its embedded broker; changes are lost.
{listeners}
allow_anonymous true
{user}
# What must not be lost lives in the agents' logs, so the broker keeps nothing on disk.
persistence false
# Without this, three hops take 24 ms instead of 0.4 ms.
set_tcp_nodelay true
# Messages that one client may hold unsettled: consumers settle after their commit.
max_inflight_messages 1000
max_queued_messages 100000
message_size_limit 1048576
sys_interval 0
log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages false
"""


def find_mosquitto() -> str | None:
    """The path of the program, also where Debian puts it and a user's PATH does not look; None: it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(_USUAL_FOLDERS))


def mosquitto_version(program: str) -> str:
    """The version the program reports, or "unknown"."""
    shown = subprocess.run([program, "-h"], capture_output=True, text=True, timeout=5, check=False).stdout
    match = re.search(r"mosquitto version (\S+)", shown)
    return match[1] if match else "unknown"


class MosquittoProcess:
    """A Mosquitto on a port of the loopback interface. Its configuration and log are in `folder`."""

    def __init__(self, process: subprocess.Popen[bytes], version: str) -> None:
        self._process = process
        self.version = version
        self.pid = process.pid

    @classmethod
    async def start(cls, program: str, port: int, folder: Path, also: Sequence[str] = ()) -> MosquittoProcess:
        """Start it, on 127.0.0.1 and the addresses of `also`; return when it accepts connections.

        Raises BusUnavailable in its own words when it does not.
        """
        started = cls(_launch(program, port, folder, also), mosquitto_version(program))
        try:
            await started._wait_until_ready(port, folder / _LOG)
        except BaseException:
            await started.stop()
            raise
        return started

    async def stop(self) -> None:
        """End it, by force if it does not go within 0.7 s; return when it is gone."""
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, _TERMINATE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def _wait_until_ready(self, port: int, log_file: Path) -> None:
        deadline = time.monotonic() + _READY_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return
        raise BusUnavailable(
            f"Mosquitto did not start on port {port}: {_last_line(log_file)}",
            f"see {log_file}, or run without it: the broker amqtt comes with edgemesh[broker]",
        )


def _launch(program: str, port: int, folder: Path, also: Sequence[str]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "mosquitto.conf"
    # As root it would change its user, and with that forget that it is to end with us.
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name}" if os.geteuid() == 0 else ""
    listeners = "\n".join(f"listener {port} {host}" for host in ("127.0.0.1", *also))
    configuration.write_text(_CONFIGURATION.format(listeners=listeners, user=user))
    command = [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), program, "-c", str(configuration)]
    with (folder / _LOG).open("wb") as log:
        # A session of its own keeps a Ctrl-C away from it: agents say good-bye before their broker goes.
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _last_line(log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
