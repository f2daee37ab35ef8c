"""The sentry's core: a light detector on the gateway, whose alerts are provisional until the site has judged them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgemesh.agents.core import Input
from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.alerts.book import closed
from edgemesh.detect.settings import DetectSettings
from edgemesh.errors import LogDamaged
from edgemesh.log.outbox import Cursor
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertState, Review, Stage
from edgemesh.model.ids import derive_id
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Record

_PART = "sentry"
MOST_OVER = 64
"""Alerts that were over before the site has judged them: so many are kept for its word, the newest."""


class _Open(msgspec.Struct):
    """An alert that stands here, as it was said last, and what the site says of it: then nothing more is said."""

    said: Alert
    review: Review | None = None


class _State(msgspec.Struct):
    """`open` by the id under which the detector has it; `over`: not judged yet, by the id under which it was said."""

    open: dict[str, _Open] = {}
    over: dict[str, Alert] = {}


_decode = msgspec.json.Decoder(_State).decode


def read_standing(parts: Mapping[str, bytes]) -> list[Alert]:
    """What stands at a sentry, by its checkpoint, with what the site says of it; nothing for another's checkpoint."""
    try:
        standing = _decode(parts.get(_PART, b"{}")).open.values()
    except msgspec.MsgspecError as damage:
        raise LogDamaged(f"the sentry's part can't be read: {damage}") from damage
    return [msgspec.structs.replace(each.said, review=each.review) for each in standing]


class SentryCore:
    """Watches the assets of its own gateways by rules; see `edgemesh.agents.core.Core` for the verbs.

    Models of `settings` are left out: those judge at the site. What is over waits for its word, too. Once the site has
    judged an alert it is quiet about that trouble until it is over here, or more severe than what was judged: then it
    is another alert.
    """

    def __init__(self, agent: str, site: str, settings: DetectSettings, assets: Mapping[str, Asset]) -> None:
        self.agent, self.site = agent, site
        rules = msgspec.structs.replace(settings, model=())
        # With our name in them, ids are never those of the site's alerts about the same.
        self._detector = DetectorCore(agent, f"{site}/{agent}", rules, assets)
        self._state = _State()
        self._forgotten: list[str] = []
        self._dirty = self._just_loaded = False

    @property
    def stats(self) -> dict[str, float]:
        """Those of `DetectorCore`."""
        return self._detector.stats

    @property
    def standing(self) -> list[Alert]:
        """What stands here, with what the site says of it (`review`), for who has to act on the spot."""
        return [msgspec.structs.replace(each.said, review=each.review) for each in self._state.open.values()]

    def handle(self, pack: Input) -> Sequence[Record]:
        """Take in readings; return provisional alerts. Other inputs are none of a sentry's business."""
        return self._say(self._detector.handle(pack)) if isinstance(pack, Readings) else ()

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Find silent devices; see `DetectorCore.tick`."""
        said = self._say(self._detector.tick(now_ns))
        if self._just_loaded:
            self._just_loaded = False
            said += self._end_unknown()
        return said

    def retime(self, by_ns: int, doubt: int) -> Sequence[Record]:
        """Our clock was set; see `DetectorCore.retime`."""
        return self._say(self._detector.retime(by_ns, doubt))

    def adopt(self, gateway: str, alerts: Sequence[Alert], through: Cursor | None = None) -> None:
        """Begin with a gateway of this process; nobody had it before."""

    def meet(self, alert: Alert) -> Sequence[Alert]:
        """Hear what the site says of an alert. It has ended it itself, so nothing is left to say."""
        for each in self._state.open.values():
            if each.said.id == alert.id and alert.review is not None and each.review is None:
                each.review = alert.review
                self._dirty = True
        if alert.review is not None and self._state.over.pop(alert.id, None) is not None:
            self._dirty = True
        return ()

    def release(self, gateway: str) -> Sequence[Alert]:
        """A gateway of this process is never another's."""
        return ()

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        """One retained topic per alert that was not judged, also where it is over; see `Core.present`."""
        over, forgotten = self._state.over, self._forgotten
        self._forgotten = []
        if records is None:
            records = [*over.values(), *(each.said for each in self._state.open.values() if each.review is None)]
        topics: dict[str, Record | None] = {f"state/alert/{name}": None for name in forgotten}
        for alert in records:
            if isinstance(alert, Alert):
                gone = alert.state is AlertState.CLEARED and alert.id not in over
                topics[f"state/alert/{alert.id}"] = None if gone else alert
        return topics

    def save(self) -> Mapping[str, bytes | None]:
        """Parts of the detector, and one of what stands."""
        parts = self._detector.save()
        if self._dirty:
            parts[_PART] = msgspec.json.encode(self._state)
            self._dirty = False
        return parts

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Go on from saved parts. Raises LogDamaged when our own is not what was saved."""
        self._detector.load({name: part for name, part in parts.items() if name != _PART})
        self._just_loaded = True
        if _PART in parts:
            try:
                self._state = _decode(parts[_PART])
            except msgspec.MsgspecError as damage:
                raise LogDamaged(f"the sentry's part can't be read: {damage}") from damage

    def _end_unknown(self) -> list[Alert]:
        """End what the detector knows nothing of any more: a part of its state was lost."""
        standing = {topic.rpartition("/")[2] for topic in self._detector.present(None)}
        gone = [self._state.open.pop(name) for name in sorted(self._state.open.keys() - standing)]
        self._dirty = self._dirty or bool(gone)
        return [closed(each.said, each.said.at_ns) for each in gone if each.review is None]

    def _say(self, alerts: Sequence[Alert]) -> list[Alert]:
        """What is to be said of new versions of the detector's alerts."""
        said = [self._version(alert) for alert in alerts]
        self._dirty = self._dirty or bool(alerts)
        return [alert for alert in said if alert is not None]

    def _version(self, alert: Alert) -> Alert | None:
        known = self._state.open.get(alert.id)
        over = alert.state is AlertState.CLEARED
        if known is None:
            said = msgspec.structs.replace(alert, stage=Stage.GATEWAY)
        elif known.review is None:
            said = _under(alert, known.said.id, known.said.version + 1)
        elif over or alert.severity.rank <= known.said.severity.rank:
            said = None
        else:
            name = derive_id(self.site, self.agent, known.said.id, alert.severity.value)
            said = msgspec.structs.replace(_under(alert, name, 1), raised_at_ns=alert.at_ns)
        if over:
            self._state.open.pop(alert.id, None)
            self._keep_over(said)
        elif said is not None:
            self._state.open[alert.id] = _Open(said)
        return said

    def _keep_over(self, said: Alert | None) -> None:
        """An alert is over; unless it was judged, the site can still say what it was."""
        over = self._state.over
        if said is not None:
            over[said.id] = said
        while len(over) > MOST_OVER:
            self._forgotten.append(name := next(iter(over)))
            del over[name]


def _under(alert: Alert, name: str, version: int) -> Alert:
    return msgspec.structs.replace(alert, id=name, version=version, stage=Stage.GATEWAY)
