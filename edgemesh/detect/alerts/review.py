"""The second stage: what sentries on gateways have decided alone is confirmed or withdrawn by who sees more.

A provisional alert ends with a word: `confirmed` when we have found the same trouble of the same asset ourselves, then
ours takes its place; `withdrawn` when we have taken in the rows that it was raised from, and `withdraw_after` more,
and found nothing. Until we can tell, it stays as it is.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator

import msgspec

from edgemesh.detect.alerts.book import closed
from edgemesh.model.alerts import Alert, Review, Stage
from edgemesh.model.samples import Retimed

MOST_WAITING = 256
"""Alerts of one gateway that wait for a word at most; of more, the oldest get none."""
MOST_PAST = 64
"""Past alerts of our own, of one gateway, that are remembered: the provisional one may be heard of after them."""
MOST_SAID = 256
"""Words about alerts of one gateway that are remembered, so that they can be said again."""


class Sight(enum.Enum):
    """What we can say of the trouble that a provisional alert is about: not yet anything; it is, or was, there; all
    that was read is calm.
    """

    UNCLEAR = 0
    FOUND = 1
    CALM = 2


Look = Callable[[Alert], Sight]
"""What we see of the trouble that an alert is about."""


class Bench(msgspec.Struct, omit_defaults=True):
    """Of one gateway: alerts that wait for a word, in their newest version; the last words, each as the record that
    said it; and what late rows have shown us.
    """

    waiting: dict[str, Alert] = {}
    said: dict[str, Alert] = {}
    past: list[Alert] = []

    def hear(self, alert: Alert) -> list[Alert]:
        """Take a version of a provisional alert; return our word on it where it was said before: it was not heard.

        One that is over is judged as well: it was true, or it was not.
        """
        if alert.stage is not Stage.GATEWAY or alert.review is not None:
            return []
        if (said := self.said.get(alert.id)) is not None:
            self.said[alert.id] = again = msgspec.structs.replace(said, version=max(said.version, alert.version + 1))
            return [again]
        known = self.waiting.get(alert.id)
        if known is None or alert.version > known.version:
            self.waiting[alert.id] = alert
        while len(self.waiting) > MOST_WAITING:
            del self.waiting[next(iter(self.waiting))]
        return []

    def note(self, alert: Alert) -> None:
        """We have recorded a past alert of our own: one that was over when its rows came."""
        self.past = [*self.past[1 - MOST_PAST :], alert]

    def was_past(self, alert: Alert) -> bool:
        """Whether one of our past alerts is of the same asset and kind, and of the same time."""
        return any(
            (past.asset, past.kind) == (alert.asset, alert.kind)
            and past.onset_at_ns <= alert.raised_at_ns
            and past.at_ns >= alert.onset_at_ns
            for past in self.past
        )

    def judge(self, look: Look) -> list[Alert]:
        """Return the ends of those of which we can tell now. `look` is asked about each that waits."""
        ends = []
        for alert in list(self.waiting.values()):
            sight = Sight.FOUND if self.was_past(alert) else look(alert)
            if sight is Sight.UNCLEAR:
                continue
            review = Review.CONFIRMED if sight is Sight.FOUND else Review.WITHDRAWN
            self.said[alert.id] = end = msgspec.structs.replace(closed(alert, alert.at_ns), review=review)
            del self.waiting[alert.id]
            ends.append(end)
        while len(self.said) > MOST_SAID:
            del self.said[next(iter(self.said))]
        return ends

    def put_right(self, retimed: Retimed) -> None:
        """The gateway's clock is known now: what waits is as old as it is in truth."""
        for name, alert in self.waiting.items():
            if alert.clock == retimed.clock:
                self.waiting[name] = alert.put_right(retimed)
        self.past = [past.put_right(retimed) if past.clock == retimed.clock else past for past in self.past]


class Reviews:
    """The benches of all gateways. Who changes one says so; parts are named `review/{gateway}`."""

    def __init__(self) -> None:
        self._benches: dict[str, Bench] = {}
        self._dirty: set[str] = set()

    def gateways(self) -> Iterator[str]:
        """The gateways of which an alert waits for a word."""
        return iter([gateway for gateway, bench in self._benches.items() if bench.waiting])

    def waits(self, gateway: str) -> bool:
        """Whether an alert of the gateway waits for a word."""
        bench = self._benches.get(gateway)
        return bench is not None and bool(bench.waiting)

    def hear(self, alert: Alert) -> list[Alert]:
        """See `Bench.hear`."""
        self._dirty.add(alert.gateway)
        return self._benches.setdefault(alert.gateway, Bench()).hear(alert)

    def note(self, alerts: Iterable[Alert]) -> None:
        """See `Bench.note`; of these alerts of our own, those that are past count."""
        for alert in alerts:
            if alert.past:
                self._benches.setdefault(alert.gateway, Bench()).note(alert)
                self._dirty.add(alert.gateway)

    def judge(self, gateway: str, look: Look) -> list[Alert]:
        """See `Bench.judge`."""
        ends = self._benches[gateway].judge(look)
        if ends:
            self._dirty.add(gateway)
        return ends

    def put_right(self, gateway: str, retimed: Retimed) -> None:
        """See `Bench.put_right`."""
        if gateway in self._benches:
            self._benches[gateway].put_right(retimed)
            self._dirty.add(gateway)

    def release(self, gateway: str) -> None:
        """Another has the last word on the gateway now."""
        if self._benches.pop(gateway, None) is not None:
            self._dirty.add(gateway)

    def save(self) -> dict[str, bytes | None]:
        """Parts that changed since the last call; None: gone."""
        parts: dict[str, bytes | None] = {}
        for gateway in self._dirty:
            bench = self._benches.get(gateway)
            parts[f"review/{gateway}"] = None if bench is None else msgspec.json.encode(bench)
        self._dirty.clear()
        return parts

    def load(self, gateway: str, content: bytes) -> None:
        """Go on from the part `review/{gateway}`. ValueError: it can't be read."""
        self._benches[gateway] = msgspec.json.decode(content, type=Bench)
