"""Settings of `alertmanager`, checked when they are loaded."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edgemesh.model import settings as base
from edgemesh.model.ids import Id, is_id
from edgemesh.model.settings import Seconds, Secret

SHORTEST_TOKEN = 16


class Settings(base.Settings, frozen=True, kw_only=True):
    """See README.md: every setting has its line there."""

    token: Secret
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 9095
    path: Annotated[str, Meta(pattern=r"^/[A-Za-z0-9_/-]*$")] = "/alerts"
    device: Id = "alertmanager"
    asset_label: Annotated[str, Meta(min_length=1, max_length=100)] = "asset"
    asset: str = ""
    period: Seconds = Seconds(10.0)

    def __post_init__(self) -> None:
        if len(self.token.reveal()) < SHORTEST_TOKEN:
            raise ValueError(f"`token` must have {SHORTEST_TOKEN} characters or more")
        if self.asset and not is_id(self.asset):
            raise ValueError("`asset` must be 1 to 64 of A-Z a-z 0-9 _ -, or empty for none")
        if not 0.1 <= self.period <= 86_400.0:
            raise ValueError("`period` must be 100ms to 1d")
