"""Where the broker is, and one calm line when it goes and one when it returns."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

log = logging.getLogger("firmware_sim")

DEFAULT_PORT = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Broker:
    """Address of a broker; `tls` for `mqtts://`. `others` are tried, in their order, while it is away."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False
    others: tuple["Broker", ...] = ()

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_broker(urls: str) -> Broker:
    """The broker at `mqtt://[user:password@]host[:port]` (or `mqtts://`); several after commas. Raises ValueError."""
    first, *others = [_parse_one(url.strip()) for url in urls.split(",")]
    return replace(first, others=tuple(others))


def _parse_one(url: str) -> Broker:
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORT or not parts.hostname or parts.path not in {"", "/"}:
        message = f"expected mqtt://host:port, not {url!r}"
        raise ValueError(message)
    return Broker(
        host=parts.hostname,
        port=parts.port or DEFAULT_PORT[parts.scheme],
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "mqtts",
    )


class Watch:
    """Tells of the broker as all links of this process see it, once when it goes and once when it is back.

    `missed` gives a remark for the line of the return (what was lost meanwhile); empty for none.
    """

    def __init__(self, broker: Broker, missed: Callable[[], str] = lambda: "") -> None:
        self.missed = missed
        self._broker = broker
        self._down: set[str] = set()
        self._seen = False
        self._since_s = 0.0

    def down(self, link: str, reason: str) -> None:
        """The link `link` has lost the broker, or cannot find it."""
        if not self._down:
            self._since_s = time.monotonic()
            verb = "is gone" if self._seen else "is not there yet"
            log.warning("broker %s %s (%s), trying again", self._broker, verb, reason)
        self._down.add(link)

    def up(self, link: str) -> None:
        """The link `link` has its connection."""
        if link in self._down:
            self._down.discard(link)
            if not self._down:
                away_s = time.monotonic() - self._since_s
                verb = "is back" if self._seen else "is there"
                log.warning("broker %s %s after %.1f s%s", self._broker, verb, away_s, self.missed())
        elif not self._seen:
            log.info("connected to broker %s", self._broker)
        self._seen = True
