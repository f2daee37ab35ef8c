"""Rendezvous hashing: everybody who knows the same names comes to the same owner, and few change when a name does."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def weight(item: str, owner: str) -> bytes:
    """How strongly `owner` claims `item`: 16 bytes, the same on every machine and for ever."""
    return blake2b(f"{item}\x1f{owner}".encode(), digest_size=16).digest()


def owner_of(item: str, owners: Iterable[str]) -> str | None:
    """The owner with the highest weight; None when there is nobody.

    When one of n owners goes, only its items (about 1/n of all) move; when one comes, only what it takes over.
    Source: Thaler and Ravishankar, Using name-based mappings to increase hit rates, 1998.
    """
    return max(owners, key=lambda owner: (weight(item, owner), owner), default=None)
