"""The sentry's core: what it says is provisional, and ends with the site's word."""

from __future__ import annotations

import msgspec
import pytest

from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.sentry import MOST_OVER, SentryCore, read_standing
from edgemesh.detect.settings import DetectSettings, LimitRule, SilentRule
from edgemesh.errors import LogDamaged
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Review, Severity, Stage
from edgemesh.model.settings import Seconds
from tests.unit.agents.test_detector import MODEL, noise, pack

S = 10**9
RULES = (
    LimitRule(name="low", metric="flow", below=50.0),
    LimitRule(name="very low", metric="flow", below=20.0, severity=Severity.CRITICAL),
    SilentRule(name="silent", after=Seconds(10)),
)
SETTINGS = DetectSettings(rule=RULES, model=(MODEL,))


def make_core() -> SentryCore:
    return SentryCore("sentry", "plant", SETTINGS, {})


class Gateway:
    """A sentry that gets one row a second, with what is saved of it."""

    def __init__(self) -> None:
        self.core, self.parts, self.seq = make_core(), dict[str, bytes](), 0

    def feed(self, *values: float) -> list[Alert]:
        said: list[Alert] = []
        for value in values:
            self.seq += 1
            said += [a for a in self.core.tick(self.seq * S) if isinstance(a, Alert)]
            found = self.core.handle(pack(self.seq, [self.seq], [value]))
            said += [alert for alert in found if isinstance(alert, Alert)]
            self.save()
        return said

    def hear(self, alert: Alert, review: Review) -> None:
        over = msgspec.structs.replace(alert, state=AlertState.CLEARED, version=alert.version + 1, review=review)
        assert self.core.meet(over) == ()
        self.save()

    def save(self) -> None:
        for name, part in self.core.save().items():
            if part is None:
                self.parts.pop(name, None)
            else:
                self.parts[name] = part

    def restart(self) -> None:
        self.core = make_core()
        self.core.load(dict(self.parts))


def test_what_it_decides_is_provisional() -> None:
    """Its alerts say so, have versions and an end of their own, and ids that the site's can never have."""
    gateway = Gateway()
    said = gateway.feed(90.0, 40.0, 10.0, 90.0)
    assert [(a.version, a.state.value, a.severity.value) for a in said] == [
        (1, "firing", "warning"),
        (2, "firing", "critical"),
        (3, "cleared", "critical"),
    ]
    assert {alert.stage for alert in said} == {Stage.GATEWAY}
    assert said[0].origin == "gw/e1/2"
    site = DetectorCore("det", "plant", DetectSettings(rule=RULES), {})
    (same,) = site.handle(pack(2, [2], [40.0]))
    assert (same.stage, same.onset_at_ns) == (Stage.SITE, said[0].onset_at_ns)
    assert same.id != said[0].id


def test_it_learns_nothing() -> None:
    """Models of the configuration are the site's business: no lesson, no channel that is learnt from."""
    gateway = Gateway()
    gateway.feed(*noise(150))
    assert gateway.core.stats["trained"] == 0
    site = DetectorCore("det", "plant", SETTINGS, {})
    for seq, value in enumerate(noise(150), 1):
        site.handle(pack(seq, [seq], [value]))
    assert site.stats["trained"] == 1
    assert not any("learn" in name or "model" in name for name in gateway.parts)


@pytest.mark.parametrize("review", list(Review))
def test_what_was_judged_is_not_gone_on_about(review: Review) -> None:
    """Further evidence, its end and a restart say nothing more; only the next trouble is said again."""
    gateway = Gateway()
    *_, alert = gateway.feed(90.0, 10.0)
    assert gateway.core.present(None) == {f"state/alert/{alert.id}": alert}
    gateway.hear(alert, review)
    gateway.restart()
    assert gateway.core.present(None) == {}
    assert [(each.id, each.review) for each in gateway.core.standing] == [(alert.id, review)]
    assert [each.review for each in read_standing(gateway.parts)] == [review]
    assert gateway.feed(15.0, 40.0, 90.0) == []
    assert gateway.core.standing == []
    (again,) = gateway.feed(40.0)
    assert (again.version, again.id == alert.id) == (1, False)


def test_what_gets_worse_than_what_was_judged_is_another_alert() -> None:
    """A warning was withdrawn; that it becomes critical is for the site to judge again."""
    gateway = Gateway()
    (alert,) = gateway.feed(90.0, 40.0)
    gateway.hear(alert, Review.WITHDRAWN)
    (worse,) = gateway.feed(10.0)
    assert (worse.version, worse.severity, worse.stage) == (1, Severity.CRITICAL, Stage.GATEWAY)
    assert worse.id != alert.id
    assert worse.onset_at_ns == alert.onset_at_ns < worse.raised_at_ns == worse.at_ns
    (over,) = gateway.feed(90.0)
    assert (over.id, over.version, over.state) == (worse.id, 2, AlertState.CLEARED)


def test_words_about_others_say_nothing() -> None:
    """Neither another sentry's alert, nor a version without a word, ends ours."""
    gateway = Gateway()
    (alert,) = gateway.feed(40.0)
    gateway.hear(msgspec.structs.replace(alert, id="f" * 32), Review.CONFIRMED)
    gateway.core.meet(alert)
    (worse,) = gateway.feed(10.0)
    assert (worse.id, worse.version) == (alert.id, 2)


def test_a_silent_device_is_found_without_the_site() -> None:
    """Time alone finds it, by the gateway's clock."""
    gateway = Gateway()
    gateway.feed(90.0)
    said = [alert for second in range(2, 30) for alert in gateway.core.tick(second * S)]
    assert [(a.kind, a.stage) for a in said if isinstance(a, Alert)] == [(AlertKind.SILENT, Stage.GATEWAY)]


def test_what_the_detector_has_lost_is_ended() -> None:
    """Where the state of an asset could not be read, its alert does not stand for ever; no part is guessed."""
    gateway = Gateway()
    (alert,) = gateway.feed(40.0)
    gateway.parts = {name: b"?" if name.startswith("asset/") else part for name, part in gateway.parts.items()}
    gateway.restart()
    (over,) = gateway.core.tick(10 * S)
    assert isinstance(over, Alert)
    assert (over.id, over.version, over.state) == (alert.id, 2, AlertState.CLEARED)
    with pytest.raises(LogDamaged, match="sentry"):
        make_core().load({"sentry": b"?"})
    with pytest.raises(LogDamaged, match="sentry"):
        read_standing({"sentry": b"[]"})


def test_what_was_over_before_it_was_judged_waits_for_its_word() -> None:
    """It stays on its topic, cleared, over restarts; the word empties it, and of too many the oldest go."""
    gateway = Gateway()
    *_, over = gateway.feed(90.0, 40.0, 90.0)
    assert over.state is AlertState.CLEARED
    assert gateway.core.present([over]) == {f"state/alert/{over.id}": over}
    gateway.restart()
    assert gateway.core.present(None) == {f"state/alert/{over.id}": over}
    assert gateway.core.standing == []
    gateway.hear(over, Review.WITHDRAWN)
    gateway.restart()
    assert gateway.core.present(None) == {}
    ends = [alert for alert in gateway.feed(*[40.0, 90.0] * (MOST_OVER + 2)) if alert.state is AlertState.CLEARED]
    kept = [topic for topic, alert in gateway.core.present(None).items() if alert is not None]
    assert kept == [f"state/alert/{alert.id}" for alert in ends[2:]]


def test_what_is_forgotten_leaves_its_topic() -> None:
    """More were over than are kept for a word: the topics of the oldest are emptied, once."""
    gateway = Gateway()
    said = gateway.feed(*[40.0, 90.0] * (MOST_OVER + 1))
    topics = gateway.core.present(said[-1:])
    assert topics == {f"state/alert/{said[0].id}": None, f"state/alert/{said[-1].id}": said[-1]}
    assert gateway.core.present([]) == {}
