"""Addresses of brokers: `mqtt://[user[:password]@]host[:port][?qos=0]`, `mqtts://` with TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from edgemesh.errors import ConfigError
from edgemesh.model.settings import Secret

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_NO_PASSWORD = Secret("")
_WISH = 'like "mqtt://localhost:1883" or "mqtts://user:password@broker.example"'


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens, and who we are to it. `str` and `repr` never show the password.

    `username` is empty for an anonymous login. `tls` checks the broker's certificate against the system's authorities.
    `qos` is that of all messages, 0 for a broker to which QoS 1 is a burden (docs/brokers.md).
    """

    host: str
    port: int = 1883
    username: str = ""
    password: Secret = _NO_PASSWORD
    tls: bool = False
    qos: Literal[0, 1] = 1

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address; user and password are percent-encoded where they hold `@ : / , %`.

        Raises ConfigError, without the password in it, for anything that is not such an address.
        """
        parts, port = _split(text)
        if parts.scheme not in _PORTS:
            raise ConfigError(
                f"the address of a broker starts with mqtt:// or mqtts://, not {_public(text)}", wish=_WISH
            )
        if not parts.hostname or _is_odd(parts.hostname):
            raise ConfigError(f"the address of a broker needs a host: {_public(text)}", wish=_WISH)
        if parts.path not in ("", "/") or parts.query not in ("", "qos=0", "qos=1") or parts.fragment:
            raise ConfigError(
                f"nothing but ?qos=0 follows the port in the address of a broker: {_public(text)}", wish=_WISH
            )
        if parts.password and not parts.username:
            raise ConfigError(f"a password needs a user: {_public(text)}", wish=_WISH)
        return cls(
            parts.hostname,
            port or _PORTS[parts.scheme],
            unquote(parts.username or ""),
            Secret(unquote(parts.password or "")),
            parts.scheme == "mqtts",
            0 if parts.query == "qos=0" else 1,
        )

    def __str__(self) -> str:
        user = f"{quote(self.username, safe='')}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{host}:{self.port}{'' if self.qos else '?qos=0'}"


def parse_addresses(text: str) -> tuple[Address, ...]:
    """Read several addresses, separated by commas, in the order in which they are tried; at least one.

    Raises ConfigError as `Address.parse` does.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ConfigError("an address of a broker is missing", wish=_WISH)
    return tuple(Address.parse(part) for part in parts)


def _split(text: str) -> tuple[SplitResult, int | None]:
    if any(sign.isspace() or not sign.isprintable() for sign in text):
        raise ConfigError(
            f"blanks and control characters have no place in the address of a broker: {_public(text)}", wish=_WISH
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as problem:
        # The problem's own text may quote the password, when an unencoded character made it look like a port.
        raise ConfigError(
            f"this is not the address of a broker: {_public(text)}",
            wish=f"{_WISH}; port 1 to 65535; write @ : / , in a password as %40 %3A %2F %2C",
        ) from (None if "@" in text else problem)
    if port == 0:
        raise ConfigError(f"port 0 is no port of a broker: {_public(text)}", wish=_WISH)
    return parts, port


def _is_odd(host: str) -> bool:
    return any(sign in '"<>\\^`{|}' for sign in host)


def _public(text: str) -> str:
    """The text without what stands before the last `@`."""
    head, at, tail = text.rpartition("@")
    scheme = head.split("://", 1)[0] + "://" if "://" in head else ""
    return repr(f"{scheme}***@{tail}" if at else text)
