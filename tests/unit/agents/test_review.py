"""The second stage in the detector: when it confirms, when it withdraws, and when it can't tell yet."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from edgemesh.agents.core import Taught
from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.alerts.review import MOST_SAID, MOST_WAITING, Bench, Sight
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.settings import DetectSettings, LimitRule, ModelSettings, SilentRule
from edgemesh.log.outbox import Cursor
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Review, Stage
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Retimed
from edgemesh.model.settings import Seconds
from edgemesh.testing import make_alert
from tests.unit.agents.test_detector import pack

S = 10**9
LOW = LimitRule(name="low", metric="flow", below=50.0, hold=Seconds(2))
SILENT = SilentRule(name="silent", after=Seconds(30))
SETTINGS = DetectSettings(rule=(LOW, SILENT))


def make_core(settings: DetectSettings = SETTINGS) -> DetectorCore:
    return DetectorCore("det", "plant", settings, {}, withdraw_after_s=10.0)


def provisional(
    seq: int, *, kind: AlertKind = AlertKind.MACHINE, version: int = 1, clock: int = 0, at_s: int | None = None
) -> Alert:
    """What a sentry has raised from row `seq`, which came at second `seq`."""
    at_ns = (seq if at_s is None else at_s) * S
    alert = make_alert(asset="P-1", gateway="gw", kind=kind, version=version)
    return msgspec.structs.replace(
        alert,
        id=f"{seq:032x}",
        stage=Stage.GATEWAY,
        onset_at_ns=at_ns,
        raised_at_ns=at_ns,
        at_ns=at_ns + (version - 1) * S,
        origin="" if kind is AlertKind.SILENT else f"gw/e1/{seq}",
        clock=clock,
        evidence=(Evidence(rule="r", metric="flow", device="pump7"),),
    )


def play(core: DetectorCore, flows: Sequence[float], first: int = 1, *, now_s: int = 0) -> list[Alert]:
    """Handle rows from `first` on, one a second, or all at `now_s`."""
    said: list[Alert] = []
    for seq, flow in enumerate(flows, first):
        said += core.tick((now_s or seq) * S)
        said += core.handle(pack(seq, [seq], [flow]))
    return said


def words(alerts: Sequence[Alert]) -> list[Review]:
    return [alert.review for alert in alerts if alert.review is not None]


def test_what_we_find_ourselves_is_confirmed() -> None:
    """Our own alert comes first, then the end of the provisional one, in the same step: an order has no gap between."""
    core = make_core()
    play(core, [90.0, 90.0])
    assert core.meet(provisional(3)) == []
    assert words(play(core, [40.0, 40.0], 3)) == []
    ours, end = play(core, [40.0], 5)
    assert (ours.stage, ours.state, ours.review) == (Stage.SITE, AlertState.FIRING, None)
    assert (end.id, end.version, end.state, end.review) == (
        provisional(3).id,
        2,
        AlertState.CLEARED,
        Review.CONFIRMED,
    )
    assert core.present([ours, end]) == {f"state/alert/{ours.id}": ours, f"state/alert/{end.id}": None}
    assert (core.stats["alerts_confirmed"], core.stats["alerts_raised"], core.stats["alerts_cleared"]) == (1, 1, 0)


def test_what_we_do_not_find_is_withdrawn() -> None:
    """After so many seconds of calm rows behind its own, neither before nor later; time alone withdraws nothing."""
    core = make_core()
    play(core, [90.0] * 4)
    core.meet(provisional(4))
    assert words(play(core, [90.0] * 9, 5)) == []
    assert words([alert for second in range(14, 24) for alert in core.tick(second * S)]) == []
    (end,) = play(core, [90.0], 14)
    assert (end.review, end.state, end.cleared_at_ns) == (Review.WITHDRAWN, AlertState.CLEARED, 4 * S)
    assert core.stats["alerts_withdrawn"] == 1


def test_a_backlog_is_judged_as_fast_as_it_comes() -> None:
    """After an outage the rows say how long it was calm, not the clock."""
    core = make_core()
    play(core, [90.0])
    core.meet(provisional(5))
    assert words(play(core, [90.0] * 20, 2, now_s=2)) == [Review.WITHDRAWN]


def test_an_alert_of_before_confirms_nothing_that_came_later() -> None:
    """Ours stands from rows before the outage; whether the trouble of the provisional one is there, later rows say."""
    core = make_core()
    play(core, [40.0] * 3)
    assert [alert.state for alert in core.present(None).values() if isinstance(alert, Alert)] == [AlertState.FIRING]
    core.meet(provisional(8))
    assert words(core.tick(4 * S)) == []
    said = play(core, [90.0] * 15, 4, now_s=30)
    assert [alert.review for alert in said] == [None, Review.WITHDRAWN]


def test_trouble_that_was_over_when_we_heard_of_it_is_confirmed() -> None:
    """Our alert began and ended before the provisional one was heard of: it was true all the same."""
    core = make_core()
    said = play(core, [90.0, 40.0, 40.0, 40.0, *[90.0] * 20])
    assert [alert.state for alert in said] == [AlertState.FIRING, AlertState.CLEARED]
    core.meet(provisional(2))
    assert words(core.tick(25 * S)) == [Review.CONFIRMED]
    core.meet(provisional(24))
    assert words(play(core, [90.0] * 10, 25)) == [Review.WITHDRAWN]


def test_live_rows_that_overtake_a_backlog_judge_nothing() -> None:
    """While older rows are missing nobody can say that they were calm; once they are through it is said."""
    core = make_core()
    play(core, [90.0] * 3)
    core.meet(provisional(10))
    for seq in range(500, 540):
        live = msgspec.structs.replace(pack(seq, [seq], [90.0]), live=500)
        assert words(core.handle(live)) == []
    said: list[Alert] = []
    for seq in range(4, 500):
        late = msgspec.structs.replace(pack(seq, [seq], [40.0 if 10 <= seq < 30 else 90.0]), live=500)
        said += core.handle(late)
        assert seq == 499 or words(said) == []
    said += [alert for second in range(540, 560) for alert in core.tick(second * S)]
    assert words(said) == [Review.CONFIRMED]
    assert [alert.past for alert in said if alert.review is None] == [True]


def test_nobody_judges_while_it_rehearses() -> None:
    """A newcomer knows the alerts of the sentry, but not yet how the machine stands; afterwards it says its word."""
    core = make_core()
    core.adopt("gw", [provisional(3)], Cursor("e1", 30))
    assert words(play(core, [90.0] * 30)) == []
    assert core.rehearses("gw")
    assert words(play(core, [90.0], 31)) == [Review.WITHDRAWN]


def test_a_newcomer_does_not_take_provisional_alerts_for_its_own() -> None:
    """What the sentry has raised is not adopted: no rule here keeps it open or ends it."""
    core = make_core()
    core.adopt("gw", [provisional(3)], None)
    assert not core.rehearses("gw")
    assert core.present(None) == {}
    assert core.meet(provisional(3)) == []
    assert core.present(None) == {}


def test_a_word_that_was_not_heard_is_said_again() -> None:
    """The sentry says its alert again when it connects: each time the word comes, as a version that goes beyond."""
    core = make_core()
    play(core, [90.0] * 3)
    core.meet(provisional(3))
    (end,) = play(core, [90.0] * 10, 4)
    parts = {name: part for name, part in core.save().items() if part is not None}
    again = make_core()
    again.load(parts)
    assert again.meet(provisional(3)) == [end]
    (later,) = again.meet(provisional(3, version=4))
    assert (later.version, later.review) == (5, Review.WITHDRAWN)
    assert again.meet(provisional(3, version=2)) == [later]


def test_a_silent_device_is_only_withdrawn_by_a_sample() -> None:
    """That we have not noticed yet says nothing; a sample that is clearly younger does, silence of our own confirms."""
    core = make_core()
    play(core, [90.0] * 3)
    core.meet(provisional(4, kind=AlertKind.SILENT))
    assert words([alert for second in range(4, 30) for alert in core.tick(second * S)]) == []
    found = [alert for second in range(30, 40) for alert in core.tick(second * S)]
    assert [(alert.kind, alert.review) for alert in found] == [
        (AlertKind.SILENT, None),
        (AlertKind.SILENT, Review.CONFIRMED),
    ]
    core = make_core()
    play(core, [90.0] * 3)
    core.meet(provisional(4, kind=AlertKind.SILENT))
    for seq in range(4, 24):
        core.tick(seq * S)
        assert words(core.handle(pack(seq, [seq], [1.0], device="another", metric="heat"))) == []
    core = make_core()
    play(core, [90.0] * 3)
    core.meet(provisional(4, kind=AlertKind.SILENT))
    assert words(play(core, [90.0] * 10, 4)) == []
    assert words(play(core, [90.0], 14)) == [Review.WITHDRAWN]


def test_who_is_still_learning_withdraws_nothing() -> None:
    """A detector whose model is in its warm-up sees less than it will; what its rules find it confirms."""
    model = ModelSettings(machine=ProfileSettings(train_rows=100, trees=10, subsample=32))
    core = make_core(DetectSettings(rule=(LOW,), model=(model,)))
    play(core, [90.0] * 3)
    core.meet(provisional(3))
    assert words(play(core, [90.0] * 40, 4)) == []
    assert words(play(core, [40.0] * 3, 44)) == [Review.CONFIRMED]
    assert core.handle(Taught("P-1", "none", b"")) == []


def test_a_row_of_an_unknown_log_counts_by_its_time() -> None:
    """The gateway's log began anew since: who has younger rows of the asset has what there was."""
    core = make_core()
    play(core, [90.0] * 3)
    core.meet(msgspec.structs.replace(provisional(5), origin="gw/e0/77"))
    core.meet(msgspec.structs.replace(provisional(6), origin="no/such"))
    assert words(play(core, [90.0] * 13, 4)) == [Review.WITHDRAWN] * 2


def test_a_clock_that_was_wrong_is_put_right_for_what_waits() -> None:
    """An alert of a clock in doubt is as old as it is in truth once that is known: it is not withdrawn too late."""
    core = make_core()
    play(core, [90.0] * 3)
    core.meet(provisional(4, clock=7, at_s=5_000))
    retimed = Retimed(clock=7, from_ns=4_000 * S, until_ns=6_000 * S, by_ns=-4_996 * S)
    known = Readings(agent="gw", epoch="e1", seq=4, lowest=1, at_ns=0, records=(), retimed=(retimed,))
    core.tick(4 * S)
    core.handle(known)
    assert words(play(core, [90.0] * 20, 5)) == [Review.WITHDRAWN]


def test_who_gives_a_gateway_up_says_nothing_of_it_any_more() -> None:
    """Another has the last word; the part is gone from the disk, too."""
    core = make_core()
    play(core, [90.0] * 3)
    core.meet(provisional(3))
    assert "review/gw" in core.save()
    assert core.release("gw") == []
    assert core.save()["review/gw"] is None
    assert words(play(core, [90.0] * 30, 1, now_s=40)) == []


def test_bounds_hold() -> None:
    """Neither a flood of alerts nor years of them make it grow for ever; the oldest words are forgotten."""
    bench = Bench()
    for seq in range(MOST_WAITING + 10):
        bench.hear(provisional(seq))
    assert list(bench.waiting) == [provisional(seq).id for seq in range(10, MOST_WAITING + 10)]
    assert len(bench.judge(lambda alert: Sight.CALM)) == MOST_WAITING
    for seq in range(1_000, 1_010):
        bench.hear(provisional(seq))
    bench.judge(lambda alert: Sight.FOUND)
    assert (len(bench.said), bench.waiting) == (MOST_SAID, {})
    assert next(iter(bench.said)) == provisional(20).id


def test_only_what_a_sentry_has_said_waits() -> None:
    """An alert of the site, and one that was judged, need no word."""
    bench = Bench()
    for alert in (
        msgspec.structs.replace(provisional(1), stage=Stage.SITE),
        msgspec.structs.replace(provisional(2), review=Review.CONFIRMED),
    ):
        assert bench.hear(alert) == []
    assert bench.waiting == {}


@pytest.mark.parametrize(("flow", "review"), [(40.0, Review.CONFIRMED), (90.0, Review.WITHDRAWN)])
def test_what_is_over_before_we_hear_of_it_is_judged_too(flow: float, review: Review) -> None:
    """It began and ended while the link was down: whether it was true is said in a further version."""
    core = make_core()
    over = msgspec.structs.replace(
        provisional(3), version=2, state=AlertState.CLEARED, at_ns=7 * S, cleared_at_ns=7 * S
    )
    core.meet(over)
    said = play(core, [90.0, 90.0, *[flow] * 4, *[90.0] * 20], now_s=60)
    (end,) = [alert for alert in said if alert.review]
    assert (end.id, end.version, end.review, end.cleared_at_ns) == (over.id, 3, review, 7 * S)
    assert core.present([end]) == {f"state/alert/{over.id}": None}
