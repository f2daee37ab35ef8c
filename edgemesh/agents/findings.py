"""Findings: what people have found about the assets of a site, kept by every detector for those it watches, or may."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from edgemesh.agents.watches import Watches
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.verdicts import hear
from edgemesh.detect.watch import Watch
from edgemesh.model.alerts import Alert
from edgemesh.model.verdicts import Verdicts


class Findings:
    """Verdicts of every asset of the site, ours or not, so that whoever takes one over knows them.

    Lists are merged: what comes twice, or late, or from a scheduler that knows less, changes nothing. Parts:
    `verdicts/{asset}`, at most 32 verdicts of 200 bytes each.
    """

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._known: dict[str, Verdicts] = {}
        self._told: dict[str, Verdicts] = {}  # what the watch has heard of
        self._dirty: set[str] = set()

    def hear(self, verdicts: Verdicts, moment: Moment) -> list[Alert]:
        """Take a list in; return what is over by it."""
        known = self._known.get(verdicts.asset) or Verdicts(asset=verdicts.asset)
        merged = known.merged(verdicts.verdicts)
        if merged == known:
            return []
        self._known[verdicts.asset] = merged
        self._dirty.add(verdicts.asset)
        watch = self._watches.get(verdicts.asset)
        return self.look(watch, moment) if watch is not None else []

    def look(self, watch: Watch, moment: Moment) -> list[Alert]:
        """Have the watch hear what it has not heard yet; return what is over by it."""
        asset = watch.asset.id
        known = self._known.get(asset)
        if known is None or self._told.get(asset) is known:
            return []
        self._told[asset] = known
        alerts = hear(watch, known, moment)
        self._watches.touch(watch)
        return alerts

    def release(self, assets: Iterable[str]) -> None:
        """These assets are watched by another."""
        for asset in assets:
            self._told.pop(asset, None)

    def save(self) -> dict[str, bytes | None]:
        """Parts that changed."""
        parts: dict[str, bytes | None] = {f"verdicts/{name}": _encode(self._known[name]) for name in self._dirty}
        self._dirty.clear()
        return parts

    def load(self, asset: str, content: bytes) -> None:
        """Go on from a part. ValueError: it can't be read."""
        self._known[asset] = msgspec.json.decode(content, type=Verdicts)


_encode = msgspec.json.encode
