"""Identifiers: one shape for every name, and ids that a redelivery can't multiply."""

from __future__ import annotations

import re
import uuid
from typing import Annotated

from msgspec import Meta

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}(?!\n)$"
_ID = re.compile(ID_PATTERN)
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "edgemesh")

Id = Annotated[str, Meta(pattern=ID_PATTERN, description="a name: 1 to 64 of A-Z a-z 0-9 _ -")]
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}(?!\n)$", description="32 lower-case hexadecimal digits")]


def is_id(text: str) -> bool:
    """Whether the text is an identifier of 1 to 64 characters `A-Z a-z 0-9 _ -`."""
    return _ID.match(text) is not None


def derive_id(*parts: str | int) -> str:
    """The same 32 hex digits for the same parts, for ever (UUID version 5, RFC 9562)."""
    return uuid.uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts)).hex
