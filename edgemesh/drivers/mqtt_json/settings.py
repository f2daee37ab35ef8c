"""Settings of `mqtt_json`, checked when they are loaded."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta

from edgemesh.drivers.instants import TimeFormat
from edgemesh.drivers.mqtt_json.paths import parse_path
from edgemesh.drivers.mqtt_json.topics import parse_topic
from edgemesh.drivers.templates import check_template
from edgemesh.model import settings as base
from edgemesh.model.ids import Id
from edgemesh.model.samples import MAX_METRICS, Unit


class Metric(base.Settings, frozen=True, kw_only=True):
    """Where a metric's value stands and what it means: value · `scale` + `offset`, in `unit` (UCUM).

    `kind = "bool"` takes true and false, 1 and 0; a number takes numbers only.
    """

    path: str
    unit: Unit = "1"
    scale: float = 1.0
    offset: float = 0.0
    kind: Literal["number", "bool"] = "number"

    def __post_init__(self) -> None:
        parse_path(self.path)
        if not (math.isfinite(self.scale) and math.isfinite(self.offset)) or self.scale == 0.0:
            raise ValueError("`scale` and `offset` must be finite, and `scale` not 0")


class Settings(base.Settings, frozen=True, kw_only=True):
    """See README.md: every setting has its line there."""

    topic: str
    device: str = "{device}"
    device_field: str = ""
    asset: str = "{device}"
    assets: dict[str, str] = {}
    time: str = ""
    time_format: TimeFormat = "auto"
    trace: str = ""
    metrics: Annotated[dict[Id, str | Metric], Meta(max_length=MAX_METRICS)] = {}

    def __post_init__(self) -> None:
        levels = {name for _, name in parse_topic(self.topic).names}
        known = levels | ({"device"} if self.device_field else set())
        if "{device}" in self.device and "device" not in known:
            raise ValueError("nothing says which device it is: name a level of `topic` {device}, or set `device_field`")
        check_template("device", self.device, known)
        check_template("asset", self.asset, known | {"device"})
        for path in filter(None, (self.device_field, self.time, self.trace)):
            parse_path(path)
        for value in self.metrics.values():
            if isinstance(value, str):
                parse_path(value)
        for rule, result in self.assets.items():
            if rule.count("*") > 1 or result.count("*") > rule.count("*"):
                raise ValueError(
                    f"`assets` takes one `*` in a rule and then one in its result, not {rule!r} = {result!r}"
                )
