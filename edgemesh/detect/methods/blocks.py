"""Blocks: bytes that are saved again and again, of which only what has changed is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

BLOCK_BYTES = 4096


class Blocks:
    """Bytes as parts: `NAME` (how many there are) and `NAME/K`, 4 KiB each.

    >>> blocks = Blocks("moving")
    >>> parts = blocks.parts(bytes(9000))
    >>> sorted(parts), Blocks("moving").join(parts) == bytes(9000)
    (['moving', 'moving/0', 'moving/1', 'moving/2'], True)
    >>> sorted(blocks.parts(bytes(8999) + b"x"))
    ['moving', 'moving/2']
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._saved: list[bytes] = []  # digests of the blocks

    def parts(self, content: bytes) -> dict[str, bytes | None]:
        """The parts that changed since the last call or `join`; None: gone."""
        blocks = [content[begin : begin + BLOCK_BYTES] for begin in range(0, len(content), BLOCK_BYTES)]
        digests = [_digest(block) for block in blocks]
        parts: dict[str, bytes | None] = {self._name: msgspec.msgpack.encode(len(content))}
        for number, block in enumerate(blocks):
            if number >= len(self._saved) or digests[number] != self._saved[number]:
                parts[f"{self._name}/{number}"] = block
        parts.update((f"{self._name}/{number}", None) for number in range(len(blocks), len(self._saved)))
        self._saved = digests
        return parts

    def join(self, parts: Mapping[str, bytes | None]) -> bytes:
        """The bytes again, out of all parts that were saved. ValueError: some are missing."""
        length = msgspec.msgpack.decode(parts.get(self._name) or b"", type=int)
        blocks = [parts.get(f"{self._name}/{number}") for number in range(-(-length // BLOCK_BYTES))]
        content = b"".join(block or b"" for block in blocks)
        if len(content) != length:
            raise ValueError(f"a block of {self._name} is missing")
        self._saved = [_digest(block or b"") for block in blocks]
        return content


def _digest(block: bytes) -> bytes:
    return hashlib.blake2b(block, digest_size=12).digest()
