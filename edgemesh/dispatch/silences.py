"""Silences: those that people have set, and windows of the configuration that come again and again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgemesh.dispatch.settings import SilenceWindow
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert
from edgemesh.model.samples import move
from edgemesh.model.schedules import parse_schedule
from edgemesh.model.silences import Silence, fits

MOST = 1_000
"""Silences at a time."""


class Silences:
    """What is silent. `dirty` names what changed since it was last saved, `told` since it was last told."""

    def __init__(self, windows: Iterable[SilenceWindow], assets: Mapping[str, Asset]) -> None:
        self._windows = tuple((window, parse_schedule(window.when)) for window in windows)
        self._assets = assets
        self.set: dict[str, Silence] = {}
        self.dirty: set[str] = set()
        self.told: set[str] = set()

    def add(self, silence: Silence) -> bool:
        """Set a silence, or the same anew; False: there are too many."""
        if silence.id not in self.set and len(self.set) >= MOST:
            return False
        self.set[silence.id] = silence
        self._changed(silence.id)
        return True

    def end(self, name: str) -> bool:
        """End one before its time; False: there is none of this id."""
        if self.set.pop(name, None) is None:
            return False
        self._changed(name)
        return True

    def silent(self, alert: Alert, now_ns: int) -> bool:
        """Whether an alert is to open no order now."""
        asset = self._assets.get(alert.asset) or Asset(id=alert.asset)
        if any(each.begin_ns <= now_ns < each.end_ns and each.covers(alert, asset.area) for each in self.set.values()):
            return True
        return any(
            schedule.is_open(now_ns)
            and fits(alert, asset.area, asset=each.asset, areas=each.area, kind=each.kind, severity=each.severity)
            for each, schedule in self._windows
        )

    def pass_time(self, now_ns: int) -> None:
        """Drop what is over."""
        for name in [name for name, each in self.set.items() if each.end_ns <= now_ns]:
            self.end(name)

    def retime(self, by_ns: int) -> None:
        """The clock was set, and no time has passed: what people have set lasts as long as it would have."""
        for name, each in self.set.items() if by_ns else ():
            begin_ns, end_ns = move(each.begin_ns, by_ns), move(each.end_ns, by_ns)
            self.set[name] = Silence(
                id=name, by=each.by, reason=each.reason, begin_ns=begin_ns, end_ns=end_ns, asset=each.asset,
                area=each.area, kind=each.kind, severity=each.severity,
            )  # fmt: skip
            self._changed(name)

    def _changed(self, name: str) -> None:
        self.dirty.add(name)
        self.told.add(name)
