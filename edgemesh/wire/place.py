"""Where a pack stands in its log, read from its first bytes: also that of a pack whose records can't be read.

Packs of every version begin with their header, and `agent`, `epoch`, `seq`, `lowest` and `v` mean in it what they do
now. So a reader knows which row it can't read, and whether it is too old for it.
"""

from __future__ import annotations

import msgspec

from edgemesh.errors import Rejected
from edgemesh.model.agents import Epoch
from edgemesh.model.ids import Id
from edgemesh.model.packs import Sequence
from edgemesh.wire.strict import check_bytes, parse_checked

HEAD_BYTES = 2_048


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of `model.packs.Header` that place a pack in a log, and the version of its schema."""

    agent: Id
    epoch: Epoch
    seq: Sequence
    lowest: Sequence
    v: int = 1


_PLACE = msgspec.json.Decoder(Place)


def read_place(payload: bytes, *, agent: str) -> Place | None:
    """Where the pack stands in the agent's log; None when its first bytes are no header of that agent."""
    head, found, _ = payload[:HEAD_BYTES].partition(b',"records":')
    header = head + b"}"
    try:
        check_bytes(header)
        parse_checked(header)
        place = _PLACE.decode(header)
    except (Rejected, msgspec.DecodeError):
        return None
    return place if found and place.agent == agent else None
