"""Provisional alerts: what sentries have decided alone waits for the word of the site's detectors, but not for long."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert
from edgemesh.model.samples import move

ALONE_NS = 5_000_000_000
"""Where no detector is alive nobody is waited for, once that has lasted so long: a restart takes less."""
MOST_HELD = 10_000
"""Alerts that wait at most; of more, the first ones are acted on."""


class Held(msgspec.Struct, frozen=True):
    """The newest version of an alert that waits, and since when."""

    alert: Alert
    since_ns: int


class Alive(msgspec.Struct):
    """Which detectors are alive; since when none is, or was not."""

    names: set[str] = set()
    alone_since_ns: int = 0


class Provisional:
    """Alerts that wait for a word, and which detectors are alive to say it."""

    def __init__(self, confirm_within_s: float) -> None:
        self._patience_ns = int(confirm_within_s * 1e9)
        self.held: dict[str, Held] = {}
        self.dirty: set[str] = set()
        self.alive = Alive()
        self.alive_dirty = False

    def hold(self, alert: Alert, now_ns: int) -> None:
        """Let an alert wait, or what waits be newer."""
        known = self.held.get(alert.id)
        if known is None or alert.version > known.alert.version:
            self.held[alert.id] = Held(alert, known.since_ns if known else now_ns)
            self.dirty.add(alert.id)

    def drop(self, alert: str) -> None:
        """An alert needs no word any more."""
        if self.held.pop(alert, None) is not None:
            self.dirty.add(alert)

    def see(self, cards: Iterable[Card], now_ns: int) -> None:
        """Take note of detectors that came or went."""
        before, names = set(self.alive.names), self.alive.names
        for card in cards:
            if card.role is Role.DETECTOR:
                (names.add if card.state is Presence.UP else names.discard)(card.agent)
        self.alive_dirty = self.alive_dirty or before != names
        if before and not names:
            self.alive.alone_since_ns = now_ns

    def due(self, now_ns: int) -> list[Alert]:
        """Those that nobody has judged in time, no longer held, the one that waited longest first."""
        if not self.held:
            return []
        due: list[Alert] = []
        for held in sorted(self.held.values(), key=lambda held: (held.since_ns, held.alert.id)):
            alone = not self.alive.names and now_ns - max(self.alive.alone_since_ns, held.since_ns) >= ALONE_NS
            if alone or now_ns - held.since_ns >= self._patience_ns or len(self.held) - len(due) > MOST_HELD:
                due.append(held.alert)
        for alert in due:
            self.drop(alert.id)
        return due

    def retime(self, by_ns: int) -> None:
        """The clock was set, and no time has passed."""
        if by_ns:
            if self.alive.alone_since_ns:
                self.alive.alone_since_ns, self.alive_dirty = move(self.alive.alone_since_ns, by_ns), True
            for name, held in self.held.items():
                self.held[name] = Held(held.alert, move(held.since_ns, by_ns))
                self.dirty.add(name)
