"""The dispatch list of one executor, as read from its retained topic."""

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

MAX_ORDERS = 100
MAX_BYTES = 256 * 1024

RANK = MappingProxyType(
    {"dispatched": 0, "accepted": 1, "in_progress": 2, "on_hold": 2, "done": 3, "verified": 4, "cancelled": 4}
)
"""How far an order is, by the state in the list."""


class ListingError(ValueError):
    """The payload is no dispatch list for this executor; the message says why."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order given to this executor.

    `attempt` counts how often it was given to anybody, `reopened` how often the work that was done did not help.
    """

    order: str
    attempt: int
    asset: str
    state: str = "dispatched"
    title: str = ""
    cause: str = ""
    skills: tuple[str, ...] = ()
    priority: str = ""
    reopened: int = 0

    @property
    def key(self) -> str:
        """What must not be done twice: the order, and anew each time it was reopened."""
        return f"{self.order}.{self.reopened}" if self.reopened else self.order

    @property
    def rank(self) -> int:
        """How far the scheduler believes this order to be."""
        return RANK[self.state]


@dataclass(frozen=True, slots=True)
class Listing:
    """All orders given to this executor now, under the leadership `epoch`."""

    epoch: int
    orders: tuple[Order, ...] = ()


def decode(payload: bytes, executor: str) -> Listing | None:
    """The list in `payload`; None for an empty payload (no orders). Raises `ListingError`."""
    if not payload:
        return None
    body = _document(payload)
    if body.get("v") != 1:
        raise ListingError("not version 1 of a dispatch list")
    if body.get("executor") != executor:
        raise ListingError(f"for {body.get('executor')!r}, not for {executor}")
    orders = body.get("orders")
    if not isinstance(orders, list) or len(orders) > MAX_ORDERS:
        raise ListingError(f"orders is no list of at most {MAX_ORDERS}")
    return Listing(_whole(body, "epoch"), tuple(_order(entry) for entry in orders))


def decode_call(payload: bytes) -> Order | None:
    """The order that executors may bid for, from its state topic; None: it is no call, or none any more.

    Its `attempt` is the one that would be given out. Raises `ListingError`.
    """
    if not payload:
        return None
    body = _document(payload)
    if body.get("state") != "open" or body.get("deadline_at_ns") is None:
        return None
    attempt = _whole({"attempt": 0, **body}, "attempt") + 1
    return _order({**body, "order": body.get("id"), "attempt": attempt, "state": "dispatched"})


def _document(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_BYTES:
        raise ListingError(f"{len(payload)} bytes are too many")
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ListingError(f"no JSON: {error}") from error
    if not isinstance(body, dict):
        raise ListingError("a message is no object")
    return body


def _order(entry: Any) -> Order:
    if not isinstance(entry, dict):
        raise ListingError("an order is no object")
    state = _text(entry, "state", "dispatched")
    if state not in RANK:
        raise ListingError(f"unknown state {state!r}")
    skills = entry.get("skills", {})
    if not isinstance(skills, dict):
        raise ListingError("skills is no object")
    return Order(
        order=_text(entry, "order"),
        attempt=_whole(entry, "attempt"),
        asset=_text(entry, "asset"),
        state=state,
        title=_text(entry, "title", ""),
        cause=_text(entry, "cause", ""),
        skills=tuple(skills),
        priority=_text(entry, "priority", ""),
        reopened=_whole({"reopened": 0, **entry}, "reopened"),
    )


def _text(entry: dict[str, Any], key: str, default: str | None = None) -> str:
    value = entry.get(key, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or len(value) > 4096:
        raise ListingError(f"{key} is no text")
    return value


def _whole(entry: dict[str, Any], key: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ListingError(f"{key} is no whole number")
    return value
