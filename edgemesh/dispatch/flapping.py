"""Flapping: alerts of one asset and kind that come and go; their order stays until they are calm."""

from __future__ import annotations

from edgemesh.dispatch.settings import FlappingSettings
from edgemesh.model.samples import move

MOST = 10_000
"""Assets and kinds whose last alerts are remembered."""


class Flapping:
    """When alerts began, by asset and kind; `dirty` names what changed since it was last saved."""

    def __init__(self, settings: FlappingSettings) -> None:
        self._settings = settings
        self.begun: dict[str, tuple[int, ...]] = {}
        self.dirty: set[str] = set()

    def note(self, key: str, now_ns: int) -> None:
        """Another alert of this key has begun."""
        known = self.begun.pop(key, ())
        self.begun[key] = (*known[1 - self._settings.count :], now_ns)
        self.dirty.add(key)
        if len(self.begun) > MOST:
            self._forget(next(iter(self.begun)))

    def flaps(self, key: str) -> bool:
        """Whether the last `count` alerts of this key began within `within`."""
        begun = self.begun.get(key, ())
        span_ns = int(self._settings.within * 1e9)
        return len(begun) >= self._settings.count and begun[-1] - begun[-self._settings.count] <= span_ns

    def patience_s(self, key: str, usual_s: float) -> float:
        """How long a key must be calm before its order goes: as `usual_s`, or longer while it flaps."""
        return max(usual_s, self._settings.calm) if self.flaps(key) else usual_s

    def forget(self, before_ns: int) -> None:
        """Drop keys whose last alert began before."""
        while self.begun and next(iter(self.begun.values()))[-1] < before_ns:
            self._forget(next(iter(self.begun)))

    def retime(self, by_ns: int) -> None:
        """The clock was set, and no time has passed."""
        for key, begun in self.begun.items() if by_ns else ():
            self.begun[key] = tuple(move(at_ns, by_ns) for at_ns in begun)
            self.dirty.add(key)

    def _forget(self, key: str) -> None:
        del self.begun[key]
        self.dirty.add(key)
