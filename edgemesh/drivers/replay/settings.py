"""Settings of `replay`, checked when they are loaded."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edgemesh.drivers.templates import check_template
from edgemesh.model import settings as base
from edgemesh.model.ids import Id
from edgemesh.model.samples import MAX_METRICS, Unit
from edgemesh.model.settings import Seconds

_FORMATS = ("auto", "iso8601", "s", "ms", "us", "ns")


class Column(base.Settings, frozen=True, kw_only=True):
    """The head of a metric's column, as the file writes it, and the metric's unit (UCUM)."""

    column: str
    unit: Unit = "1"


class Settings(base.Settings, frozen=True, kw_only=True):
    """See README.md: every setting has its line there."""

    path: str
    separator: Literal["auto", ",", ";", "\t"] = "auto"
    decimal: Literal[".", ","] = "."
    time_column: str = "auto"
    time_format: str = "auto"
    label_columns: tuple[str, ...] = ("anomaly", "changepoint", "label", "is_anomaly")
    metrics: Annotated[dict[Id, str | Column], Meta(max_length=MAX_METRICS)] = {}
    device: str = "{folder}-{stem}"
    asset: str = "{device}"
    speed: Annotated[float, Meta(gt=0.0, le=1e9)] | Literal["max"] = 1.0
    longest_wait: Seconds = Seconds(60.0)
    rows_per_batch: Annotated[int, Meta(ge=1, le=10_000)] = 200

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("`path` must name a file, a folder or a pattern like `data/*.csv`")
        if self.time_format not in _FORMATS and "%" not in self.time_format:
            raise ValueError(f"`time_format` is one of {', '.join(_FORMATS)} or like `%d.%m.%Y %H:%M:%S`")
        if self.decimal == self.separator:
            raise ValueError("`decimal` and `separator` can't both be a comma")
        check_template("device", self.device, {"folder", "stem"})
        check_template("asset", self.asset, {"folder", "stem", "device"})
