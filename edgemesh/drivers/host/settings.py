"""Settings of `host`, checked when they are loaded."""

from __future__ import annotations

from edgemesh.drivers.templates import check_template
from edgemesh.model import settings as base
from edgemesh.model.ids import is_id
from edgemesh.model.settings import Seconds


class Settings(base.Settings, frozen=True, kw_only=True):
    """See README.md: every setting has its line there."""

    period: Seconds = Seconds(10.0)
    disk: str = "/"
    device: str = ""
    asset: str = "{device}"
    root: str = "/"

    def __post_init__(self) -> None:
        if not 0.1 <= self.period <= 86_400.0:
            raise ValueError("`period` must be 100ms to 1d")
        if self.device and not is_id(self.device):
            raise ValueError("`device` must be 1 to 64 of A-Z a-z 0-9 _ -, or empty for the name of the host")
        check_template("asset", self.asset, {"device"})
        if not self.disk.startswith("/"):
            raise ValueError("`disk` must be an absolute path")
