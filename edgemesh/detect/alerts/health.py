"""The health of gateways themselves, as their cards tell it: one alert from when a log can't keep all until it can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from edgemesh.detect.alerts.book import closed
from edgemesh.detect.base.moment import Moment
from edgemesh.model.agents import Card
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id

CALM_NS = 5 * 10**9
"""The alert is over when for so long of watched time nothing was wrong: one episode is one alert."""
GRACE_NS = 2 * 10**9
"""Who meets a gateway for the first time waits for so long: what is wrong with it may have its alert already."""
METRIC = "log_lost"
RULE = "log"


class _Known(msgspec.Struct):
    """A gateway's log: what is gone of it, what stood on the last card, and since when on our clock all is well.

    `lost_before` is what was gone before the alert; -1: another detector has raised it. `unsaid`: an alert is due, and
    waits until `from_ns` on our clock.
    """

    lost: int
    trouble: str = ""
    alert: Alert | None = None
    lost_before: int = 0
    calm_from_ns: int = 0
    closed_at_ns: int = -1
    from_ns: int = 0
    unsaid: bool = False


class Health:
    """Turns the cards of gateways into alerts of the kind `gateway`; the asset is the gateway. A recorder in trouble is
    given to a detector like a gateway.

    One is raised when a card tells of trouble or that more of its log is gone than the one before said. The first card
    of a gateway that is new only tells where to count from. Where two detectors have raised one, ours goes on.
    """

    def __init__(self, site: str) -> None:
        self._site = site
        self._known: dict[str, _Known] = {}
        self._left: dict[str, tuple[Alert, int]] = {}
        self._doubles: list[Alert] = []
        self._dirty: set[str] = set()

    def see(self, card: Card, moment: Moment) -> list[Alert]:
        """Take a card of a gateway of ours in."""
        if card.agent not in self._known:
            self._known[card.agent] = _Known(card.lost, from_ns=moment.clock_ns + GRACE_NS)
            self._dirty.add(card.agent)
        known = self._known[card.agent]
        grown = card.lost > known.lost
        if (known.lost, known.trouble) == (card.lost, card.trouble):
            return []
        before = known.lost
        known.lost, known.trouble = card.lost, card.trouble
        known.calm_from_ns = moment.clock_ns
        self._dirty.add(card.agent)
        if known.alert is not None or not (card.trouble or grown):
            return []
        if not known.unsaid:
            known.unsaid, known.lost_before = True, min(before, card.lost)
        return self._raise(card.agent, known, moment)

    def tick(self, moment: Moment) -> list[Alert]:
        """Raise what is due, end what has been over for long enough; the last version says how much is gone."""
        over, self._doubles = self._doubles, []
        for gateway, known in self._known.items():
            over += self._raise(gateway, known, moment)
            if known.alert is None or known.trouble or moment.clock_ns - known.calm_from_ns <= CALM_NS:
                continue
            alert = closed(known.alert, moment.now_ns)
            if known.lost_before >= 0:  # else somebody before us has counted
                alert = msgspec.structs.replace(
                    alert, evidence=(_evidence(gateway, known),), cause=_cause(gateway, known)
                )
            known.alert, known.closed_at_ns = None, alert.at_ns
            self._dirty.add(gateway)
            over.append(alert)
        return over

    @property
    def alerts(self) -> list[Alert]:
        """The alerts that stand."""
        return [known.alert for known in self._known.values() if known.alert is not None]

    def adopt(self, gateway: str, alerts: Iterable[Alert], moment: Moment) -> list[Alert]:
        """Go on with the open alerts of this kind that another detector has left; return the others.

        So with our own, where the gateway was another's for a moment only: nobody can have ended it in that time, and
        nobody may have told us of it.
        """
        ours, left_ns = self._left.pop(gateway, (None, 0))
        if ours is not None and moment.clock_ns - left_ns < CALM_NS:
            alerts = [*alerts, ours]
        rest = []
        for alert in alerts:
            if alert.kind is not AlertKind.GATEWAY:
                rest.append(alert)
                continue
            known = self._known.setdefault(alert.asset, _Known(0))
            if known.alert is None and alert.at_ns > known.closed_at_ns:
                known.alert, known.calm_from_ns = alert, moment.clock_ns
                known.unsaid, known.lost_before = False, -1
                self._dirty.add(alert.asset)
            elif known.alert is not None and known.alert.id != alert.id:
                self._doubles.append(closed(alert, alert.at_ns))
        return rest

    def release(self, gateway: str, moment: Moment) -> list[Alert]:
        """Forget a gateway that is another's now; return the alert that stands open."""
        known = self._known.pop(gateway, None)
        if known is None:
            return []
        self._dirty.add(gateway)
        if known.alert is None:
            return []
        self._left[gateway] = (known.alert, moment.clock_ns)
        return [known.alert]

    def save(self) -> dict[str, bytes | None]:
        """Parts `health/{gateway}` that changed."""
        parts: dict[str, bytes | None] = {}
        for gateway in self._dirty:
            known = self._known.get(gateway)
            parts[f"health/{gateway}"] = msgspec.json.encode(known) if known else None
        self._dirty.clear()
        return parts

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Go on from one saved part or several. ValueError for one that can't be read."""
        for name, content in parts.items():
            self._known[name.removeprefix("health/")] = msgspec.json.decode(content, type=_Known)

    def _raise(self, gateway: str, known: _Known, moment: Moment) -> list[Alert]:
        if not known.unsaid or moment.clock_ns < known.from_ns:
            return []
        known.unsaid = False
        known.alert = self._open(gateway, known, moment)
        self._dirty.add(gateway)
        return [known.alert]

    def _open(self, gateway: str, known: _Known, moment: Moment) -> Alert:
        onset = max(moment.now_ns, known.closed_at_ns + 1)
        return Alert(
            id=derive_id(self._site, gateway, AlertKind.GATEWAY.value, onset),
            version=1,
            asset=gateway,
            kind=AlertKind.GATEWAY,
            state=AlertState.FIRING,
            severity=Severity.WARNING,
            cause=_cause(gateway, known),
            evidence=(_evidence(gateway, known),),
            onset_at_ns=onset,
            raised_at_ns=onset,
            at_ns=onset,
            gateway=gateway,
        )


def _gone(known: _Known) -> int:
    return known.lost - known.lost_before


def _cause(gateway: str, known: _Known) -> str:
    if known.trouble:
        return f"{gateway}: {known.trouble}"
    return f"{gateway}: {_gone(known)} readings or damaged rows of its log are gone that not every reader had"


def _evidence(gateway: str, known: _Known) -> Evidence:
    return Evidence(rule=RULE, metric=METRIC, device=gateway, value=float(_gone(known)), normal="0")
