"""A namespace of the kernel's network of its own, and a link into it whose weather we make. Linux, and root.

Between two TUN devices, one in our namespace and one in the other, packets pass through this process: what it does not
pass on is lost, as on a cable. Nothing stays behind: the devices go with their descriptors and the namespace with the
program that holds it, which ends when we do, however we end.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import secrets
import shutil
import struct
from pathlib import Path

from edgemesh.errors import InputError
from edgemesh.prove.weather import Lane, Weather

_TUN = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_PACKET = 65_535
_AT_ONCE = 64  # packets that are read before the event loop may do something else
_TOOLS = ("ip", "nsenter", "unshare")
_HOLD = ("unshare", "--net", "sh", "-c", "echo; exec cat")  # cat ends when we do: its input is at its end then
_CONGESTION = "cubic"  # as on a gateway, whatever this machine is tuned for


def missing() -> str:
    """What is not here to make a namespace and a link, for people; empty: nothing is missing."""
    lacking = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        return "root"
    if not _TUN.exists():
        return str(_TUN)
    return f"{lacking[0]} (Debian: apt install iproute2 util-linux)" if lacking else ""


class Cell:
    """A namespace with a link to ours. Used as `async with`.

    `prefix` goes before the command line of a program that shall be in it; from there we are at `outside`. `up` is the
    lane from the cell to us, `down` the one into it. InputError when it can't be made.
    """

    how = "packets"

    def __init__(self, seed: int = 1) -> None:
        # 198.18.0.0/15 is for tests of networks (RFC 2544), so nobody's own network is there.
        network = secrets.randbelow(1 << 15) << 2
        base = (198 << 24) + (18 << 16) + network
        self.outside, self._inside = _dotted(base + 1), _dotted(base + 2)
        self.prefix: list[str] = []
        token = secrets.token_hex(4)
        self._names = (f"em{token}o", f"em{token}i")
        self.up = Lane(random.Random(f"{seed}:up"))
        self.down = Lane(random.Random(f"{seed}:down"))
        self._ends: list[int] = []
        self._holder: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Cell:
        lacking = missing()
        if lacking:
            raise InputError(f"a namespace needs {lacking}", wish="without it the drill goes over a proxy")
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def weather(self, *, up: Weather | None = None, down: Weather | None = None) -> None:
        """Change the weather of one direction or both, for what is sent from now on."""
        self.up.weather, self.down.weather = up or self.up.weather, down or self.down.weather

    async def unplug(self) -> None:
        """Take the link down: programs in the cell find no way out any more."""
        await self._inside_run("ip", "link", "set", "dev", self._names[1], "down")

    async def plug(self) -> None:
        """Take the link up again."""
        await self._inside_run("ip", "link", "set", "dev", self._names[1], "up")

    async def _open(self) -> None:
        self._holder = await asyncio.create_subprocess_exec(
            *_HOLD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        assert self._holder.stdout is not None
        await self._holder.stdout.readline()
        self.prefix = ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]
        self._ends = [_make_device(name) for name in self._names]
        outer, inner = self._names
        await _run("ip", "link", "set", "dev", inner, "netns", str(self._holder.pid))
        await _run("ip", "address", "add", f"{self.outside}/30", "dev", outer)
        await _run("ip", "link", "set", "dev", outer, "up")
        await self._inside_run("ip", "address", "add", f"{self._inside}/30", "dev", inner)
        await self._inside_run("ip", "link", "set", "dev", "lo", "up")
        await self._inside_run("ip", "link", "set", "dev", inner, "up")
        with contextlib.suppress(InputError):  # a kernel without it keeps its own
            await self._inside_run("sh", "-c", f"echo {_CONGESTION} > /proc/sys/net/ipv4/tcp_congestion_control")
        loop = asyncio.get_running_loop()
        out, into = self._ends
        loop.add_reader(into, self._carry, into, out, self.up)
        loop.add_reader(out, self._carry, out, into, self.down)

    async def _inside_run(self, *command: str) -> None:
        await _run(*self.prefix, *command)

    def _carry(self, source: int, target: int, lane: Lane) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(source, _PACKET)
            except OSError:  # nothing more now, or the device is down
                return
            now_s = loop.time()
            for at_s in lane.arrivals(len(packet), now_s):
                if at_s <= now_s:
                    self._put(target, packet)
                else:
                    loop.call_at(at_s, self._put, target, packet)

    def _put(self, target: int, packet: bytes) -> None:
        if self._ends:
            with contextlib.suppress(OSError):  # the device is down, or its queue is full: lost, as on a cable
                os.write(target, packet)

    async def _close(self) -> None:
        loop = asyncio.get_running_loop()
        ends, self._ends = self._ends, []
        for end in ends:
            loop.remove_reader(end)
            os.close(end)
        holder, self._holder = self._holder, None
        if holder is not None:
            assert holder.stdin is not None
            holder.stdin.close()
            await holder.wait()


def _make_device(name: str) -> int:
    device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError as problem:
        os.close(device)
        raise InputError(f"no network device can be made: {problem.strerror}", source=str(_TUN)) from problem
    return device


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[1].decode(errors="replace").strip()
    if process.returncode:
        raise InputError(f"`{' '.join(command)}` failed: {said}")


def _dotted(address: int) -> str:
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))
