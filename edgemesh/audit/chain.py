"""The chain of the audit: each entry holds the SHA-256 of the one before, so that none can be changed alone.

Pure: entries in, faults out. The hash of an entry covers the hash before it, its number and its body; the body is
canonical JSON and says its number again, so that entries that changed places are told from edited ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from edgemesh.model.decisions import Decision, Sha256

GENESIS = bytes(32)
"""What the first entry of all holds as the hash before it."""
MOST_FAULTS = 100
_DOMAIN = b"edgemesh audit 1\n"
_canonical = msgspec.json.Encoder(order="deterministic").encode

What = Literal["deleted", "edited", "moved", "cut", "added", "strange"]


class Mark(NamedTuple):
    """A place in the chain: the number of an entry, and its hash. Before the first of all: 0 and zeros."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the chain begins from now on: entries up to `through`, the last of which had this hash, were let go."""

    through: int
    hash: Sha256


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an entry says: a decision, or that older entries were let go."""

    seq: int
    decision: Decision | None = None
    checkpoint: Checkpoint | None = None


class Entry(NamedTuple):
    """One row. `order` is that of its decision, to find it by; empty for a checkpoint."""

    seq: int
    order: str
    previous: bytes
    hash: bytes
    body: bytes


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with the entries `first` to `last`, in a word and in a sentence."""

    what: What
    first: int
    last: int
    text: str


class Found(msgspec.Struct, kw_only=True):
    """What a walk along the chain has found; of faults the first 100."""

    entries: int = 0
    faults: list[Fault] = []

    def add(self, what: What, first: int, last: int, text: str) -> None:
        """Note a fault."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(what=what, first=first, last=last, text=text))


_body = msgspec.json.Decoder(Body)


def link(previous: bytes, seq: int, body: bytes) -> bytes:
    """The hash of an entry, 32 bytes."""
    return hashlib.sha256(_DOMAIN + previous + seq.to_bytes(8, "big") + body).digest()


def append(before: Mark, *, decision: Decision | None = None, checkpoint: Checkpoint | None = None) -> Entry:
    """The entry after a mark."""
    seq = before.seq + 1
    body = _canonical(Body(seq=seq, decision=decision, checkpoint=checkpoint))
    return Entry(seq, decision.order if decision else "", before.hash, link(before.hash, seq, body), body)


def read_body(body: bytes) -> Body:
    """Undo `append`. Raises ValueError for what it can't have written."""
    read = _body.decode(body)
    if _canonical(read) != body or (read.decision is None) is (read.checkpoint is None):
        raise ValueError("not in canonical form")
    return read


def walk(entries: Iterable[Entry], start: Mark, head: Mark) -> Found:
    """Check all entries held, in the order of their numbers, from the mark before the first to that of the last."""
    found = Found()
    at, started, checkpoint = start, False, Checkpoint(through=0, hash=GENESIS.hex())
    for entry in entries:
        found.entries += 1
        if entry.seq > at.seq + 1:
            what: What = "deleted" if started else "cut"
            found.add(what, at.seq + 1, entry.seq - 1, "missing" if started else "missing at the beginning")
        elif entry.previous != at.hash:
            blame = at.seq if started else entry.seq
            found.add("edited", blame, blame, f"its hash is not the one that entry {entry.seq} was written after")
        body = _check(entry, found)
        if body is not None and body.checkpoint is not None:
            checkpoint = body.checkpoint
        at, started = Mark(entry.seq, entry.hash), True
    if (checkpoint.through, checkpoint.hash) != (start.seq, start.hash.hex()) and not found.faults:
        text = f"the chain begins after entry {start.seq}, but what was let go ends with {checkpoint.through}"
        found.add("cut", min(checkpoint.through, start.seq) + 1, max(checkpoint.through, start.seq), text)
    if at.seq < head.seq:
        found.add("cut", at.seq + 1, head.seq, "missing at the end")
    elif at.seq > head.seq:
        found.add("added", head.seq + 1, at.seq, "written after the head, by nobody who keeps it")
    elif at.hash != head.hash:
        found.add("edited", at.seq, at.seq, "its hash is not that of the head")
    return found


def _check(entry: Entry, found: Found) -> Body | None:
    """One entry by itself: is it what was written, and where it was written?"""
    try:
        body = read_body(entry.body)
    except ValueError as problem:  # msgspec's are, too
        found.add("edited", entry.seq, entry.seq, f"can't be read: {problem}")
        return None
    if body.seq != entry.seq:
        found.add("moved", entry.seq, entry.seq, f"stands in the place of another: it was written as {body.seq}")
    elif link(entry.previous, entry.seq, entry.body) != entry.hash:
        found.add("edited", entry.seq, entry.seq, "is not what its hash was made of")
    elif entry.order != (body.decision.order if body.decision else ""):
        found.add("edited", entry.seq, entry.seq, "is filed under another order")
    return body
