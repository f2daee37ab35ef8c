"""Free ports of this machine for servers of our own."""

from __future__ import annotations

import contextlib
import random
import socket

_CANDIDATES = range(10_000, 32_768)
"""Below the ports that the system gives to clients (from 32,768 on Linux). On one of those a server that is started
again may find a client of anybody, and a client that tries again while the server is down may even be connected to
itself (RFC 9293, simultaneous open)."""


def take_ports(count: int) -> list[int]:
    """So many different ports of 127.0.0.1 on which nothing listens now, and which no client will be given."""
    with contextlib.ExitStack() as stack:
        return [_take_one(stack) for _ in range(count)]


def _take_one(stack: contextlib.ExitStack) -> int:
    for port in random.sample(_CANDIDATES, 100):
        probe = stack.enter_context(socket.socket())
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:  # a crowded machine: better any port than none
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
