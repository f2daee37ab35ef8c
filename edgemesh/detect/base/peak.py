"""The greatest score of an asset in an interval that is not over."""

from __future__ import annotations

import msgspec


class Peak(msgspec.Struct, omit_defaults=True):
    """`interval` counts intervals since 1970, 0: none is open. `device` and `metric` deviated most; empty: none did."""

    interval: int = 0
    score: float = 0.0
    device: str = ""
    metric: str = ""
