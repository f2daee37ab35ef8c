"""How a client gets a link: the addresses in their order, and at each the newest protocol that it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from edgemesh.bus.address import Address
from edgemesh.bus.contract import Will
from edgemesh.bus.link import NAMES, V5, V311, Link, Version
from edgemesh.bus.sockets import BufferedSocket, open_socket

log = logging.getLogger(__name__)

_REACH_S = 1.5  # for TCP: the first packet may be lost once, after a second it is sent again
_CONNECT_S = 3.0  # for TLS, and once more for the broker's answer
_CHOICES = {"auto": (V5, V311), "3.1.1": (V311,), "5": (V5,)}

Protocol = Literal["auto", "3.1.1", "5"]
MakeLink = Callable[[Address, BufferedSocket, Version], Link]
Failed = Callable[[Address, str], None]


class Search:
    """Finds the first broker that accepts a client; remembers of each which protocol it does not take.

    `make_link` makes a link on a socket that is connected; `will` and `keepalive_s` are said with CONNECT.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        protocol: Protocol,
        make_link: MakeLink,
        *,
        will: Will | None,
        keepalive_s: int,
    ) -> None:
        self._protocols = dict.fromkeys(addresses, _CHOICES[protocol])
        self._make_link, self._will, self._keepalive_s = make_link, will, keepalive_s

    async def find(self, addresses: Sequence[Address], failed: Failed) -> Link | None:
        """Link to the first broker that accepts us; None: none does. `failed` is told of each, and what the matter is.

        The link may have ended already when it comes.
        """
        for address in addresses:
            problem = ""
            for protocol in self._protocols[address]:
                link, against = await self._try(address, protocol)
                problem = problem or against
                if link is None or (link.refused and not link.unsupported):
                    break
                if not against:
                    return link
            failed(address, problem)
        return None

    async def _try(self, address: Address, protocol: Version) -> tuple[Link | None, str]:
        """Link to one broker, and say what it has against us, "" if it accepts; None: it could not be reached."""
        try:
            sock = await open_socket(address, reach_s=_REACH_S, secure_s=_CONNECT_S)
        except OSError as failed:
            return None, str(failed) or "no answer"
        link = self._make_link(address, sock, protocol)
        problem = "closed"
        try:
            problem = await self._introduce(link)
        finally:
            if problem:
                link.end("closed")
        return link, problem

    async def _introduce(self, link: Link) -> str:
        """Send CONNECT and return what the broker has against it, "" if it accepts."""
        link.start(self._will, self._keepalive_s)
        try:
            async with asyncio.timeout(_CONNECT_S):
                problem = await link.answer
        except TimeoutError:
            return f"no answer to {NAMES[link.protocol]}"
        if link.unsupported:
            address = link.address
            log.debug("%s is refused by %s", NAMES[link.protocol], address)
            self._protocols[address] = self._protocols[address][1:] or self._protocols[address]
        return problem
