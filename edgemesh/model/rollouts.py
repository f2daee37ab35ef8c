"""Rollouts: a model that is offered for an asset, and what its detector says of it."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from edgemesh.model.agents import Count
from edgemesh.model.ids import Id
from edgemesh.model.samples import At, Record

MAX_PACKED_BYTES = 720_000
"""Of a packed model: as base64 in a message it stays within the 1 MiB that our brokers take."""
Revision = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class RolloutStage(enum.StrEnum):
    """Where a rollout stands. ROLLOUT_MOVES lists the moves there are, from one offer on."""

    WAITING = "waiting"
    REFUSED = "refused"
    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"

    @property
    def over(self) -> bool:
        """Whether nothing more comes of this offer by itself."""
        return not ROLLOUT_MOVES[self]


ROLLOUT_MOVES: dict[RolloutStage, frozenset[RolloutStage]] = {
    RolloutStage.WAITING: frozenset(RolloutStage) - {RolloutStage.WAITING},
    RolloutStage.REFUSED: frozenset(),
    RolloutStage.SHADOW: frozenset({RolloutStage.REFUSED, RolloutStage.CANARY, RolloutStage.ROLLED_BACK}),
    RolloutStage.CANARY: frozenset({RolloutStage.PROMOTED, RolloutStage.ROLLED_BACK}),
    RolloutStage.PROMOTED: frozenset(),
    RolloutStage.ROLLED_BACK: frozenset(),
}


class ModelOffer(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """A model for one asset; or, with `back`, the wish that it goes back to its former one.

    `revision` is higher with each offer for the asset; one that is not higher than what was seen is nothing new.
    `content` is the model's file, deflated (zlib, RFC 1950); empty only with `back`. `version` is the file's.
    `asset_class`: the class that the file is the model of; empty: it is that of the asset.
    """

    asset: Id
    revision: Revision
    at_ns: At
    version: Count = 0
    back: bool = False
    content: Annotated[bytes, Meta(max_length=MAX_PACKED_BYTES)] = b""
    asset_class: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,64}(?!\n)$")] = ""

    def __post_init__(self) -> None:
        if self.back == bool(self.content):
            raise ValueError("an offer has either a `content` or is to go `back`")


class ModelFigures(Record, frozen=True, kw_only=True):
    """What a model made of the rows of a stage.

    `alerts` it has begun (or would have), and for how long they stood; `high`: the share of rows with a score of 0.9
    and more; `median` and `top` (99 % quantile) of the score, to 0.05 and up to 4; `us_per_row`: 0 where nobody took
    the time.
    """

    rows: Count = 0
    alerts: Count = 0
    firing_s: float = 0.0
    high: float = 0.0
    median: float = 0.0
    top: float = 0.0
    us_per_row: float = 0.0


class ModelState(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What a detector says of the newest offer for an asset that it watches.

    `version` is the offer's, `used` the one that judges now (0: none yet), `since_ns` when the stage began by the
    detector's clock, `reason` why in words. `done`: how much of the stage is over, 0 to 1. `new` and `former`: what
    the offered model and the one before have made of the same rows.
    """

    asset: Id
    agent: Id
    revision: Revision
    version: Count
    used: Count
    stage: RolloutStage
    since_ns: At
    reason: Annotated[str, Meta(max_length=1024)] = ""
    done: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    new: ModelFigures | None = None
    former: ModelFigures | None = None
