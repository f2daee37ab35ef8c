"""Topology: devices that are silent together are one trouble, that of their gateway, or of the hall it stands in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from edgemesh.dispatch.settings import GroupSettings
from edgemesh.dispatch.triage import Plan, raised
from edgemesh.model.agents import Asset, Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind
from edgemesh.model.orders import Skills
from edgemesh.model.samples import move

_NAMED = 8
BURST_NS = 60_000_000_000
"""Gateways of an area behind which something fell silent within so long of each other have one cause."""
SKILLS: Skills = {"instrument": 0.25}


class Mute(msgspec.Struct, frozen=True):
    """A silent device's alert: behind which gateway, of which asset, in which area; since when we know."""

    gateway: str
    asset: str
    area: str
    since_ns: int = 0


class Topology:
    """Who is silent now, and which gateways are down. `dirty` names alerts that changed since it was last saved."""

    def __init__(self, settings: GroupSettings, assets: Mapping[str, Asset]) -> None:
        self._settings, self._assets = settings, assets
        self.mute: dict[str, Mute] = {}
        self.down: set[str] = set()
        self.dirty: set[str] = set()
        self.down_dirty = False
        self._behind: dict[str, dict[str, int]] = {}  # by gateway: assets, and how many alerts each has
        self._halls: dict[str, dict[str, int]] = {}  # by area: gateways, and how many alerts each has there
        self._newest: dict[tuple[str, str], int] = {}  # by area and gateway: since when its newest one stands

    def see(self, cards: Iterable[Card]) -> None:
        """Take note of gateways that came or went."""
        for card in cards:
            if card.role is Role.GATEWAY and (card.agent in self.down) != (card.state is Presence.DOWN):
                (self.down.add if card.state is Presence.DOWN else self.down.discard)(card.agent)
                self.down_dirty = True

    def hear(self, alert: Alert, now_ns: int) -> None:
        """Take note of an alert that stands."""
        if alert.kind is AlertKind.SILENT and alert.id not in self.mute:
            area = (self._assets.get(alert.asset) or Asset(id=alert.asset)).area
            self.restore(alert.id, Mute(alert.gateway, alert.asset, area, now_ns))
            self.dirty.add(alert.id)

    def restore(self, alert: str, mute: Mute) -> None:
        """Put what was saved."""
        self.mute[alert] = mute
        _add(self._behind, mute.gateway, mute.asset, 1)
        _add(self._halls, mute.area, mute.gateway, 1)
        spot = mute.area, mute.gateway
        self._newest[spot] = max(self._newest.get(spot, 0), mute.since_ns)

    def drop(self, alert: str) -> None:
        """An alert is over."""
        mute = self.mute.pop(alert, None)
        if mute is not None:
            _add(self._behind, mute.gateway, mute.asset, -1)
            _add(self._halls, mute.area, mute.gateway, -1)
            if mute.gateway not in self._halls.get(mute.area, ()):
                del self._newest[mute.area, mute.gateway]
            self.dirty.add(alert)

    def place(self, alert: Alert) -> str:
        """What the trouble of an alert is that of: its asset, or for silence with others its gateway or its area."""
        mute = self.mute.get(alert.id)
        if mute is None:
            return alert.asset
        if len(self._dark(mute.area, mute.since_ns)) >= self._settings.gateways:
            return mute.area
        return mute.gateway if self._is_dead(mute.gateway) else alert.asset

    def plan(self, place: str, alert: Alert, plan: Plan) -> Plan:
        """The plan of an alert, made that of the place where it belongs: words, who can, and more urgent by spread."""
        if place == alert.asset:
            return plan
        hall = place != alert.gateway
        mute = self.mute[alert.id]
        gateways = sorted(self._dark(place, mute.since_ns)) if hall else [place]
        assets = sorted({asset for name in gateways for asset in self._behind.get(name, ())})
        what = f"{len(gateways)} gateways in {place}" if hall else f"gateway {place}"
        names = ", ".join(assets[:_NAMED]) + (f" and {len(assets) - _NAMED} more" if len(assets) > _NAMED else "")
        spread = len(assets) >= self._settings.assets
        return msgspec.structs.replace(
            plan,
            title=f"Check power and network of {what}",
            cause=f"{what} silent: nothing is heard of {names}",
            skills=SKILLS,
            parts=(),
            priority=raised(plan.priority) if spread else plan.priority,
        )

    def _dark(self, area: str, since_ns: int) -> list[str]:
        """Gateways of an area that are dead, or behind which something fell silent at about the same time."""
        return [
            gateway
            for gateway in self._halls[area]
            if self._is_dead(gateway) or abs(self._newest[area, gateway] - since_ns) <= BURST_NS
        ]

    def retime(self, by_ns: int) -> None:
        """The clock was set, and no time has passed."""
        for name, mute in list(self.mute.items()) if by_ns else ():
            self.drop(name)
            since_ns = move(mute.since_ns, by_ns)
            self.restore(name, Mute(mute.gateway, mute.asset, mute.area, since_ns))
            self.dirty.add(name)

    def _is_dead(self, gateway: str) -> bool:
        return gateway in self.down or len(self._behind.get(gateway, ())) >= self._settings.assets


def _add(counts: dict[str, dict[str, int]], outer: str, inner: str, by: int) -> None:
    found = counts.setdefault(outer, {})
    found[inner] = found.get(inner, 0) + by
    if not found[inner]:
        del found[inner]
    if not found:
        del counts[outer]
