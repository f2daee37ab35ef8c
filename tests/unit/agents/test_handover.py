"""A gateway's log changes hands: no alert is doubled, none is left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.settings import DetectSettings, LimitRule, SilentRule
from edgemesh.log.outbox import Cursor
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from edgemesh.model.settings import Seconds
from edgemesh.testing import make_alert
from tests.unit.agents.test_lanes import Step, arrivals, excursion, hidden, in_order

S = 10**9
CALM = (0.0,) * 8
Case = tuple[tuple[float, ...], int, int, int, int, int, bool]


def make_rule(hold_s: int = 0) -> LimitRule:
    return LimitRule(name="high", metric="level", above=0.5, clear=0.5, hold=Seconds(hold_s), clear_hold=Seconds(0))


def make_core(hold_s: int = 0) -> DetectorCore:
    return DetectorCore("det", "plant", DetectSettings(rule=(make_rule(hold_s),)), {})


def pack(seq: int, level: float) -> Readings:
    batch = Batch(device="d", asset="a", metrics=("level",), units=("1",), at_ns=(seq * S,), values=((level,),))
    return Readings(agent="gw", epoch="e1", seq=seq, lowest=1, at_ns=0, records=(batch,))


def play(core: DetectorCore, levels: Sequence[float], first: int, last: int, *, now: int = 0) -> list[Alert]:
    """Handle packs `first` to `last`, one a second; those before `now` come all at once, at that second."""
    alerts: list[Alert] = []
    for seq in range(first, last + 1):
        alerts += core.tick(max(seq, now) * S)
        alerts += core.handle(pack(seq, levels[seq - 1]))
    return alerts


def play_lanes(core: DetectorCore, levels: Sequence[float], steps: Sequence[Step]) -> Iterator[list[Alert]]:
    """Handle the rows as they come; a tenth of a second passes between two of them."""
    for number, (seq, live) in enumerate(steps):
        row = msgspec.structs.replace(pack(seq, levels[seq - 1]), live=live)
        yield core.tick(1_000 * S + number * S // 10) + core.handle(row)


def standing(alerts: Sequence[Alert]) -> dict[str, Alert]:
    """The newest version of each alert; a cleared one stays cleared."""
    newest: dict[str, Alert] = {}
    for alert in alerts:
        known = newest.get(alert.id)
        if known is None or (alert.version > known.version and known.state is not AlertState.CLEARED):
            newest[alert.id] = alert
    return newest


def open_alerts(alerts: Sequence[Alert]) -> list[Alert]:
    return [alert for alert in standing(alerts).values() if alert.state is not AlertState.CLEARED]


def hand_over(
    levels: Sequence[float], hold_s: int, taken: int, marked: int, known: int, met_after: int, late: bool
) -> list[Alert]:
    """The first owner handles `taken` packs. The second is told of `marked` (0: of no mark), and of the alerts as of
    pack `known`; what the first leaves open comes to it after `met_after` packs. All alerts of both are returned.
    `late`: the second gets the old packs one a second, so that its rehearsal runs out.
    """
    now = 0 if late else taken
    old, new = make_core(hold_s), make_core(hold_s)
    before = play(old, levels, 1, known)
    told = open_alerts(before)
    before += play(old, levels, known + 1, taken)
    left = old.release("gw")
    new.adopt("gw", told, Cursor("e1", marked) if marked else None)
    after = play(new, levels, 1, met_after, now=now)
    for alert in left:
        after += new.meet(alert)
    return before + after + play(new, levels, met_after + 1, len(levels), now=now)


@st.composite
def hand_overs(draw: st.DrawFn) -> Case:
    levels = tuple(draw(st.lists(st.sampled_from([0.0, 0.0, 1.0]), min_size=4, max_size=25)))
    taken = draw(st.integers(1, len(levels)))
    marked = draw(st.integers(0, taken))
    return (
        levels + CALM,
        draw(st.sampled_from([0, 2])),
        taken,
        marked,
        draw(st.integers(marked, taken)),
        draw(st.integers(1, len(levels) + len(CALM) - 1)),
        draw(st.booleans()),
    )


@settings(max_examples=400, deadline=None)
@given(hand_overs())
@example(((0.0, 1.0, 1.0, 0.0, *CALM), 0, 2, 1, 2, 3, False))
@example(((0.0, 1.0, 0.0, 0.0, *CALM), 0, 2, 2, 2, 9, False))
@example(((0.0, 0.0, 0.0, 0.0, 1.0, *CALM), 0, 5, 0, 0, 1, False))
@example(((*(0.0,) * 10, 1.0, *(0.0,) * 4, 1.0, *CALM), 0, 16, 0, 11, 1, True))
@example(((*(0.0,) * 12, 1.0, *CALM), 0, 13, 0, 13, 1, True))
def test_each_excursion_is_one_alert(case: Case) -> None:
    """Whenever the log changes hands and whatever the newcomer was told by then: the alerts are those of one owner."""
    levels, hold_s, *_ = case
    alone = standing(play(make_core(hold_s), levels, 1, len(levels)))
    together = standing(hand_over(*case))
    assert {name: alert.state for name, alert in together.items()} == {
        name: alert.state for name, alert in alone.items()
    }
    assert all(alert.state is AlertState.CLEARED for alert in together.values())


@st.composite
def holed_hand_overs(draw: st.DrawFn) -> tuple[tuple[float, ...], list[Step], int]:
    levels = (*draw(st.lists(st.sampled_from([0.0, 0.0, 1.0]), min_size=4, max_size=30)), *CALM)
    steps = draw(arrivals(len(levels)))
    return levels, steps, draw(st.integers(1, len(steps)))


def mark_of(steps: Sequence[Step]) -> Cursor:
    """How far a reader is that has taken these rows."""
    at = Cursor("e1", 0)
    for seq, _ in steps:
        at = at.add(seq)
    return at


def holes(steps: Sequence[Step]) -> int:
    """How often a live row came before older ones."""
    tops = [max((seq for seq, _ in steps[:place]), default=0) for place in range(len(steps))]
    return sum(seq > top + 1 for (seq, _), top in zip(steps, tops, strict=True))


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(holed_hand_overs().filter(lambda case: holes(case[1]) <= 1 and not hidden(case[0], case[1])))
@example(((0.0, 1.0, 1.0, 1.0, *CALM), [Step(1, 0), Step(4, 4), *in_order(12)[4:]], 2))
@example(((0.0, 1.0, 0.0, 0.0, *CALM), [Step(1, 0), Step(4, 4), *in_order(12)[4:]], 2))
def test_a_log_with_holes_changes_hands(case: tuple[tuple[float, ...], list[Step], int]) -> None:
    """The first owner has taken live rows before older ones; whoever comes says what is in the holes, and no more."""
    levels, steps, taken = case
    old, new = make_core(), make_core()
    before = [alert for alerts in play_lanes(old, levels, steps[:taken]) for alert in alerts]
    mark = mark_of(steps[:taken])
    new.adopt("gw", open_alerts(before), mark)
    after = play(new, levels, 1, len(levels), now=1_000)
    for alert in old.release("gw"):
        after += new.meet(alert)
    after += play(new, (*levels, *CALM), len(levels) + 1, len(levels) + len(CALM), now=1_000)
    together = standing(before + after)
    alone = standing(play(make_core(), levels, 1, len(levels)))
    assert sorted(excursion(levels, alert) for alert in together.values()) == sorted(
        alert.onset_at_ns // S for alert in alone.values()
    )
    assert all(alert.state is AlertState.CLEARED for alert in together.values())


def test_a_newcomer_says_nothing_twice() -> None:
    """What the owner before has decided is learnt from in silence; what it left open goes on with id and version."""
    levels = (0.0, 1.0, 0.0, 1.0, 1.0, *CALM)
    old, new = make_core(), make_core()
    alerts = play(old, levels, 1, 4)
    (left,) = open_alerts(alerts)
    new.adopt("gw", [left], Cursor("e1", 4))
    assert play(new, levels, 1, 5) == []
    (cleared,) = play(new, levels, 6, len(levels))
    assert (cleared.id, cleared.version) == (left.id, left.version + 1)


@pytest.mark.parametrize("known", [False, True])
def test_silence_is_found_in_the_midst_of_a_rehearsal(known: bool) -> None:
    """A gateway that falls silent keeps nobody in ignorance of that, while what the owner before has seen stays his."""
    silent = SilentRule(name="silent", after=Seconds(12))
    new = DetectorCore("det", "plant", DetectSettings(rule=(make_rule(), silent)), {})
    evidence = Evidence(rule="silent", metric="silence", device="d", value=13.0, normal="< 12 s", score=1.1)
    made = make_alert(asset="a", kind=AlertKind.SILENT, gateway="gw")
    left = msgspec.structs.replace(made, evidence=(evidence,), at_ns=0)
    new.adopt("gw", [left] if known else [], Cursor("e1", 99))
    assert play(new, (0.0, 1.0), 1, 2) == []
    found = [alert for second in range(3, 60) for alert in new.tick(second * S)]
    assert [alert.kind for alert in found] == ([] if known else [AlertKind.SILENT])
    assert {f"state/alert/{alert.id}" for alert in ([left] if known else found)} == new.present(None).keys()
    later = [alert for seq in range(3, 112) for alert in new.tick((60 + seq) * S) + new.handle(pack(seq, 0.0))]
    assert {(alert.id, alert.state) for alert in later} == {
        (alert.id, AlertState.CLEARED) for alert in ([left] if known else found)
    }
    assert new.present(None) == {}


def test_a_slow_rehearsal_says_nothing_twice() -> None:
    """However long the rows take that the owner before has seen, what he made of them is his to say."""
    levels = (0.0, 1.0, 0.0, 1.0, 1.0, *CALM)
    new = make_core()
    (left,) = open_alerts(play(make_core(), levels, 1, 4))
    new.adopt("gw", [left], Cursor("e1", 4))
    said = [alert for seq in range(1, 14) for alert in new.tick(20 * seq * S) + new.handle(pack(seq, levels[seq - 1]))]
    assert [(alert.id, alert.version, alert.state) for alert in said] == [(left.id, 2, AlertState.CLEARED)]


def test_a_rehearsal_outlives_a_restart() -> None:
    """A newcomer that is killed while it rehearses goes on rehearsing."""
    levels = (0.0, 1.0, 1.0, *CALM)
    old, new = make_core(), make_core()
    (left,) = play(old, levels, 1, 3)
    new.adopt("gw", [left], Cursor("e1", 3))
    play(new, levels, 1, 2)
    parts = {name: part for name, part in new.save().items() if part is not None}
    again = make_core()
    again.load(parts)
    (cleared,) = play(again, levels, 3, len(levels))
    assert (cleared.id, cleared.version, cleared.state) == (left.id, 2, AlertState.CLEARED)


def test_the_echo_of_our_own_alert_is_no_news() -> None:
    """What is heard of an alert that we made, or have closed, changes nothing."""
    levels = (0.0, 1.0, 0.0, *CALM)
    core = make_core()
    (raised,) = play(core, levels, 1, 2)
    assert core.meet(raised) == []
    play(core, levels, 3, 5)
    assert core.meet(raised) == []
    assert play(core, levels, 6, len(levels)) == []
