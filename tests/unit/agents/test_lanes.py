"""Live rows come before older ones: the detector says what it would have said in order; the past wakes nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.settings import DetectSettings, LimitRule, ModelSettings, RangeRule, SilentRule, StuckRule
from edgemesh.log.outbox import MAX_AHEAD
from edgemesh.model.alerts import Alert, AlertKind, AlertState
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from edgemesh.model.settings import Seconds

S = 10**9
CALM = (0.0,) * 8


def make_core(hold_s: int = 0, clear_hold_s: int = 0) -> DetectorCore:
    rule = LimitRule(
        name="high", metric="level", above=0.5, clear=0.5, hold=Seconds(hold_s), clear_hold=Seconds(clear_hold_s)
    )
    return DetectorCore("det", "plant", DetectSettings(rule=(rule,)), {})


def pack(seq: int, *levels: float, live: int = 0, lowest: int = 1) -> Readings:
    """Row `seq`: one sample, taken at second `seq`, of each of the assets a0, a1, ..."""
    batches = tuple(
        Batch(device=f"d{k}", asset=f"a{k}", metrics=("level",), units=("1",), at_ns=(seq * S,), values=((level,),))
        for k, level in enumerate(levels)
    )
    return Readings(agent="gw", epoch="e1", seq=seq, lowest=lowest, at_ns=0, records=batches, live=live)


class Step(NamedTuple):
    """A row that arrives, and the first live row of the producer then."""

    seq: int
    live: int


@st.composite
def arrivals(draw: st.DrawFn, rows: int) -> list[Step]:
    """Rows 1 to `rows` as a reader takes them: the oldest that is missing, the next live one, or one that begins a
    lane.

    At most MAX_AHEAD holes, never the first row ahead, and at the end nothing is missing.
    """
    steps, through, live = [], 0, 0
    spans: list[list[int]] = []
    while through < rows:
        top = spans[-1][1] if spans else through
        choices = ["old"]
        if spans and top < rows:
            choices += ["new"] * 3
        if through and top + 2 <= rows and len(spans) < MAX_AHEAD:
            choices.append("jump")
        choice = draw(st.sampled_from(choices))
        if choice == "old":
            seq = through = through + 1
            if spans and spans[0][0] == through + 1:
                through = spans.pop(0)[1]
        elif choice == "new":
            seq = spans[-1][1] = top + 1
        else:
            seq = live = draw(st.integers(top + 2, min(rows, top + 12)))
            spans.append([seq, seq])
        steps.append(Step(seq, live))
    return steps


def play(
    core: DetectorCore, levels: Sequence[float], steps: Sequence[Step], now_s: int = 1_000
) -> Iterator[list[Alert]]:
    """What each row brings about; a tenth of a second passes between two of them."""
    for number, (seq, live) in enumerate(steps):
        alerts = core.tick(now_s * S + number * S // 10)
        yield alerts + core.handle(pack(seq, levels[seq - 1], live=live))


def flat(alerts: Iterator[list[Alert]]) -> list[Alert]:
    return [alert for part in alerts for alert in part]


def newest(alerts: Sequence[Alert]) -> dict[str, Alert]:
    found: dict[str, Alert] = {}
    for alert in alerts:
        if alert.id in found:
            assert alert.version > found[alert.id].version, "a version comes once, and not before an older one"
            assert found[alert.id].state is not AlertState.CLEARED, "what is over stays over"
        found[alert.id] = alert
    return found


def in_order(rows: int) -> list[Step]:
    return [Step(seq, 0) for seq in range(1, rows + 1)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[float, ...], list[Step]]:
    levels = (*draw(st.lists(st.sampled_from([0.0, 0.0, 1.0]), min_size=3, max_size=40)), *CALM)
    return levels, draw(arrivals(len(levels)))


def excursion(levels: Sequence[float], alert: Alert) -> int:
    """The first row of the excursion that the alert is about."""
    row = alert.onset_at_ns // S
    assert levels[row - 1]
    while row > 1 and levels[row - 2]:
        row -= 1
    return row


def hidden(levels: Sequence[float], steps: Sequence[Step]) -> bool:
    """Whether an excursion began exactly with a lane, behind one that stood before the hole and was over in it.

    The live rows take it for the same one; where it is over before the older rows come, nobody can tell any more.
    """
    top = 0
    for seq, _ in steps:
        if seq > top + 1 and levels[top - 1] and levels[seq - 1] and not all(levels[top : seq - 1]):
            return True
        top = max(top, seq)
    return False


@settings(max_examples=600, deadline=None)
@given(cases().filter(lambda case: not hidden(*case)))
@example(((1.0, 0.0, 0.0, 1.0, *CALM), [Step(1, 0), Step(4, 4), Step(2, 4), Step(3, 4), *in_order(12)[4:]]))
def test_each_excursion_is_one_alert_in_whatever_lanes_it_comes(case: tuple[tuple[float, ...], list[Step]]) -> None:
    """As with rows in order there is one alert for each, with an onset in it; all are over, and none twice."""
    levels, steps = case
    alone = newest(flat(play(make_core(), levels, in_order(len(levels)))))
    lanes = newest(flat(play(make_core(), levels, steps)))
    assert sorted(excursion(levels, alert) for alert in lanes.values()) == sorted(
        one.onset_at_ns // S for one in alone.values()
    )
    assert all(alert.state is AlertState.CLEARED for alert in lanes.values())


@settings(max_examples=400, deadline=None)
@given(cases())
def test_what_was_over_before_it_came_wakes_nobody(case: tuple[tuple[float, ...], list[Step]]) -> None:
    """An excursion that began and ended in late rows is one record, marked as past, with the times of the data."""
    levels, steps = case
    order = [seq for seq, _ in steps]
    was_old = {seq for place, seq in enumerate(order) if any(before > seq for before in order[:place])}
    alone = newest(flat(play(make_core(), levels, in_order(len(levels)))))
    said = flat(play(make_core(), levels, steps))
    for alert in alone.values():
        assert alert.cleared_at_ns is not None
        if set(range(alert.onset_at_ns // S, alert.cleared_at_ns // S + 1)) <= was_old:
            (past,) = [one for one in said if one.onset_at_ns == alert.onset_at_ns]
            assert past.past
            assert past.state is AlertState.CLEARED
            assert (past.onset_at_ns, past.raised_at_ns, past.cleared_at_ns) == (
                alert.onset_at_ns,
                alert.raised_at_ns,
                alert.cleared_at_ns,
            )
    assert {alert.id for alert in said if alert.past}.isdisjoint(alert.id for alert in said if not alert.past)


@settings(max_examples=300, deadline=None)
@given(cases(), st.sampled_from([(2, 0), (0, 3), (3, 3)]))
def test_hold_times_may_not_lose_or_double_a_long_fault(
    case: tuple[tuple[float, ...], list[Step]], holds: tuple[int, int]
) -> None:
    """Whatever has to be held: nothing stays open, and one fault is never two alerts that stand at the same time."""
    levels, steps = case
    rows = len(levels)
    levels, steps = (*levels, *CALM), [*steps, *in_order(rows + len(CALM))[rows:]]
    core = make_core(*holds)
    topics: dict[str, object] = {}
    for alerts in play(core, levels, steps):
        topics.update(core.present(alerts))
        standing = {topic: alert for topic, alert in topics.items() if alert is not None}
        assert standing == core.present(None)
        assert len(standing) <= 1
    assert core.present(None) == {}


@settings(max_examples=300, deadline=None)
@given(cases(), st.sampled_from([(0, 0), (2, 2)]), st.booleans())
def test_a_restart_in_the_middle_of_a_backlog_is_not_noticed(
    case: tuple[tuple[float, ...], list[Step]], holds: tuple[int, int], again: bool
) -> None:
    """Saved and loaded after every row, and each row twice: the same alerts; at the end nothing is left of lanes."""
    levels, steps = case
    whole = list(play(make_core(*holds), levels, steps))
    parts: dict[str, bytes] = {}
    core = make_core(*holds)
    for number, step in enumerate(steps):
        core = make_core(*holds)
        core.load(parts)
        now_ns = 1_000 * S + number * S // 10
        row = pack(step.seq, levels[step.seq - 1], live=step.live)
        assert core.tick(now_ns) + core.handle(row) == whole[number]
        if again:
            assert core.handle(row) == []
        for key, content in core.save().items():
            if content is None:
                parts.pop(key, None)
            else:
                parts[key] = content
    assert not [key for key in parts if key.startswith("late/")]
    assert core.stats["parts_refused"] == 0


def test_live_rows_are_judged_at_once_and_the_late_ones_after() -> None:
    """A fault that began in the outage and stands is said with the first live row; the backlog then dates it back."""
    core = make_core()
    core.handle(pack(1, 0.0))
    (raised,) = core.handle(pack(50, 1.0, live=50))
    assert (raised.state, raised.onset_at_ns) == (AlertState.FIRING, 50 * S)
    for seq in range(2, 49):
        assert core.handle(pack(seq, 1.0 if seq >= 40 else 0.0, live=50)) == []
    (dated,) = core.handle(pack(49, 1.0, live=50))
    assert (dated.id, dated.version, dated.onset_at_ns) == (raised.id, 2, 40 * S)
    (over,) = core.handle(pack(51, 0.0))
    assert (over.id, over.state, over.version) == (raised.id, AlertState.CLEARED, 3)


def test_a_fault_that_stands_is_said_even_if_its_hold_time_is_not_over_in_the_live_rows() -> None:
    """Its hold time ran out in the backlog: once the backlog has come, the fault is said, with its own onset."""
    core = make_core(hold_s=20)
    core.handle(pack(1, 0.0))
    for seq in (50, 51):
        assert core.handle(pack(seq, 1.0, live=50)) == []
    said = [alert for seq in range(2, 50) for alert in core.handle(pack(seq, 1.0 if seq >= 10 else 0.0, live=50))]
    assert [(alert.state, alert.onset_at_ns, alert.raised_at_ns) for alert in said] == [
        (AlertState.FIRING, 10 * S, 30 * S)
    ]
    assert list(core.present(None).values()) == said


def test_hold_times_go_on_over_the_seam() -> None:
    """Eight seconds in the backlog and eight in the live rows are sixteen."""
    core = make_core(hold_s=12)
    core.handle(pack(1, 0.0))
    for seq in range(30, 38):
        assert core.handle(pack(seq, 1.0, live=30)) == []
    assert [alert for seq in range(2, 30) for alert in core.handle(pack(seq, 1.0 if seq >= 22 else 0.0, live=30))] == []
    (raised,) = core.handle(pack(38, 1.0))
    assert raised.onset_at_ns == 22 * S


def test_an_alert_that_ended_in_the_outage_makes_way_for_the_next() -> None:
    """One stood before the cut, another stands after it: the first is over when it was over, the second is said."""
    core = make_core()
    (first,) = [*core.handle(pack(1, 0.0)), *core.handle(pack(2, 1.0))]
    assert core.handle(pack(50, 1.0, live=50)) == []
    levels = dict.fromkeys((*range(3, 10), *range(40, 50)), 1.0)
    said = [alert for seq in range(3, 50) for alert in core.handle(pack(seq, levels.get(seq, 0.0), live=50))]
    assert [(alert.onset_at_ns, alert.cleared_at_ns, alert.past) for alert in said] == [
        (first.onset_at_ns, 10 * S, False),
        (40 * S, None, False),
    ]


@pytest.mark.parametrize("last", [0.0, 1.0])
def test_late_rows_in_order_wake_nobody_either(last: float) -> None:
    """After a short cut rows come in order, the late ones marked: what ended there is past, what stands is said."""
    core = make_core()
    core.handle(pack(1, 0.0))
    levels = [1.0, 1.0, 0.0, 0.0, 1.0, last]
    said = [alert for seq, level in enumerate(levels, start=2) for alert in core.handle(pack(seq, level, live=8))]
    assert [(alert.past, alert.onset_at_ns, alert.cleared_at_ns) for alert in said] == [
        (True, 2 * S, 4 * S),
        (True, 6 * S, 7 * S) if last == 0.0 else (False, 6 * S, None),
    ]


def test_what_late_rows_raised_is_said_even_if_nothing_more_comes() -> None:
    """The gateway is gone again in the middle of its late rows: after ten seconds what they raised is said."""
    core = make_core()
    core.tick(S)
    assert [*core.handle(pack(1, 0.0)), *core.handle(pack(2, 1.0, live=8))] == []
    said = [(second, alert) for second in range(2, 20) for alert in core.tick(second * S)]
    assert [(second, alert.onset_at_ns, alert.past) for second, alert in said] == [(12, 2 * S, False)]


def test_a_link_that_breaks_again_leaves_what_was_not_said_to_the_older_rows() -> None:
    """What late rows in order have raised is not said when a lane begins: the lane shows whether it stands."""
    core = make_core()
    assert [*core.handle(pack(1, 0.0)), *core.handle(pack(2, 1.0, live=8))] == []
    assert core.handle(pack(50, 0.0, live=50)) == []
    said = [alert for seq in range(3, 50) for alert in core.handle(pack(seq, 1.0 if seq < 9 else 0.0, live=50))]
    assert [(alert.past, alert.onset_at_ns, alert.cleared_at_ns) for alert in said] == [(True, 2 * S, 9 * S)]


def test_old_samples_bring_no_silent_device_back() -> None:
    """Samples that waited on their way say nothing of now; the first ones that did not clear the alert."""
    settings = DetectSettings(rule=(SilentRule(name="silent", after=Seconds(10), clear_samples=3),))
    core = DetectorCore("det", "plant", settings, {})
    core.tick(S)
    core.handle(pack(1, 0.0))
    (silent,) = [alert for second in range(2, 20) for alert in core.tick(second * S)]
    assert silent.kind is AlertKind.SILENT
    assert [alert for seq in range(2, 20) for alert in core.handle(pack(seq, 0.0, live=20))] == []
    assert [alert for seq in range(60, 62) for alert in core.handle(pack(seq, 0.0, live=60))] == []
    assert [alert for seq in range(20, 60) for alert in core.handle(pack(seq, 0.0, live=60))] == []
    (back,) = core.handle(pack(62, 0.0))
    assert (back.id, back.state) == (silent.id, AlertState.CLEARED)


def test_rows_that_are_gone_for_good_end_a_hole() -> None:
    """The disk was full and the oldest rows gave way: what they had raised is decided by what has come."""
    core = make_core()
    core.handle(pack(1, 0.0))
    core.handle(pack(50, 0.0, live=50))
    assert core.handle(pack(2, 1.0, live=50)) == []
    (past,) = core.handle(pack(51, 0.0, live=50, lowest=50))
    assert (past.past, past.onset_at_ns, past.cleared_at_ns) == (True, 2 * S, 50 * S)
    assert core.handle(pack(30, 1.0, live=50)) == []
    assert core.stats["packs_repeated"] == 1


def test_a_new_log_ends_the_holes_of_the_old_one() -> None:
    """The outbox file was replaced in the middle of a backlog: nothing fills the hole any more."""
    core = make_core()
    core.handle(pack(1, 0.0))
    core.handle(pack(50, 1.0, live=50))
    core.handle(pack(2, 1.0, live=50))
    renewed = pack(1, 1.0)
    batches = tuple(
        Batch(**{f: getattr(b, f) for f in b.__struct_fields__} | {"at_ns": (60 * S,)}) for b in renewed.records
    )
    said = core.handle(Readings(agent="gw", epoch="e2", seq=1, lowest=1, at_ns=0, records=batches))
    assert [(alert.version, alert.onset_at_ns) for alert in said] == [(2, 2 * S)]
    assert len(core.present(None)) == 1


def test_a_stuck_sensor_found_in_the_backlog_is_said_once() -> None:
    """Its value has not moved since: one alert about the sensor, with the onset of the backlog."""
    settings = DetectSettings(rule=(StuckRule(name="stuck", samples=10),))
    core = DetectorCore("det", "plant", settings, {})
    alerts = [alert for seq in range(1, 101) for alert in core.handle(pack(seq, float(seq % 3)))]
    alerts += [alert for seq in range(301, 305) for alert in core.handle(pack(seq, 7.0, live=301))]
    assert alerts == []
    alerts = [
        alert
        for seq in range(101, 301)
        for alert in core.handle(pack(seq, 7.0 if seq > 200 else float(seq % 3), live=301))
    ]
    assert [(alert.kind, alert.onset_at_ns, alert.past) for alert in alerts] == [(AlertKind.SENSOR, 201 * S, False)]
    (over,) = [alert for seq in range(305, 320) for alert in core.handle(pack(seq, float(seq % 3)))]
    assert (over.id, over.state) == (alerts[0].id, AlertState.CLEARED)


def test_the_model_judges_both_lanes() -> None:
    """What it finds in the backlog and what is over is past; what stands in both is one alert."""
    model = ModelSettings(machine=ProfileSettings(train_rows=100, trees=10, subsample=32))
    core = DetectorCore("det", "plant", DetectSettings(model=(model,)), {})

    def level(seq: int) -> float:
        return (seq * 7919 % 101) / 101 + (30.0 if 130 <= seq < 160 or seq >= 250 else 0.0)

    alerts = [alert for seq in range(1, 101) for alert in core.handle(pack(seq, level(seq)))]
    assert core.stats["trained"] == 1
    alerts += [alert for seq in range(300, 330) for alert in core.handle(pack(seq, level(seq), live=300))]
    assert [(alert.kind, alert.state) for alert in alerts] == [(AlertKind.MACHINE, AlertState.FIRING)]
    late = [alert for seq in range(101, 300) for alert in core.handle(pack(seq, level(seq), live=300))]
    assert [(alert.past, 130 * S <= alert.onset_at_ns < 160 * S) for alert in late] == [(True, True), (False, False)]
    assert (late[1].id, late[1].version) == (alerts[0].id, 2)
    assert 250 * S <= late[1].onset_at_ns < 262 * S


def test_assets_that_come_on_one_side_of_the_hole_only() -> None:
    """One asset is heard of in the backlog only, one in the live rows only: each is judged by what there is."""
    core = make_core()
    core.handle(pack(1, 0.0, 0.0))
    assert core.handle(pack(10, 0.0, live=10)) == []
    said = [alert for seq in range(2, 10) for alert in core.handle(pack(seq, 0.0, 1.0 if seq > 5 else 0.0, live=10))]
    assert [(alert.asset, alert.onset_at_ns, alert.past) for alert in said] == [("a1", 6 * S, False)]
    (over,) = core.handle(pack(11, 0.0, 0.0))
    assert (over.asset, over.state) == ("a1", AlertState.CLEARED)


GAPPY = [
    Step(1, 0), Step(2, 0), Step(8, 8), Step(3, 8), Step(4, 8), Step(5, 8), Step(6, 8), Step(7, 8), *in_order(20)[8:]
]  # fmt: skip


@st.composite
def gappy_cases(draw: st.DrawFn) -> tuple[tuple[float | None, ...], list[Step]]:
    """Rows of which some hold no sample of the asset that is looked at."""
    levels = draw(st.lists(st.sampled_from([0.0, 0.0, 1.0, None, None]), min_size=3, max_size=40))
    steps = draw(arrivals(len(levels)))
    tail = range(len(levels) + 1, len(levels) + len(CALM) + 1)
    return (*levels, *CALM), [*steps, *(Step(seq, 0) for seq in tail)]


def play_gappy(core: DetectorCore, levels: Sequence[float | None], steps: Sequence[Step]) -> Iterator[list[Alert]]:
    for number, (seq, live) in enumerate(steps):
        level = levels[seq - 1]
        row = pack(seq, 0.0, *(() if level is None else (level,)), live=live)
        yield core.tick(1_000 * S + number * S // 10) + core.handle(row)


def hidden_in_gaps(levels: Sequence[float | None], steps: Sequence[Step]) -> bool:
    """As `hidden`, where rows may hold no sample of the asset."""
    last, late = 0, set(range(1, len(levels) + 1))
    for seq, _ in steps:
        late.discard(seq)
        if seq > last and levels[seq - 1] is not None:
            between = [levels[row - 1] for row in range(last + 1, seq) if row in late]
            if last and levels[last - 1] and levels[seq - 1] and 0.0 in between:
                return True
            last = seq
    return False


@settings(max_examples=500, deadline=None)
@given(gappy_cases().filter(lambda case: not hidden_in_gaps(*case)))
@example(((0.0, 1.0, 1.0, 0.0, 0.0, None, None, None, None, *[0.0] * 11), GAPPY))
@example(((0.0, 1.0, 0.0, 1.0, 1.0, None, None, None, None, *[0.0] * 11), GAPPY))
def test_rows_without_an_asset_neither_double_nor_lose_its_alerts(
    case: tuple[tuple[float | None, ...], list[Step]],
) -> None:
    """Whichever rows of the lanes hold samples of an asset: its alerts have times of samples, and are all over.

    No more stand than there are excursions, and each alert lies in one of them.
    """
    levels, steps = case
    said = [alert for alert in flat(play_gappy(make_core(), levels, steps)) if alert.asset == "a1"]
    high = {seq for seq, level in enumerate(levels, 1) if level}
    for alert in said:
        assert {alert.onset_at_ns // S, alert.raised_at_ns // S} <= high, "an alert begins at a sample that is high"
        assert alert.at_ns <= len(levels) * S
    assert all(alert.state is AlertState.CLEARED for alert in newest(said).values())
    alone = newest(flat(play_gappy(make_core(), levels, [Step(seq, 0) for seq in range(1, len(levels) + 1)])))
    begun = sorted(alert.onset_at_ns for alert in alone.values())
    of = [max(begin for begin in begun if begin <= alert.onset_at_ns) for alert in newest(said).values()]
    assert len(of) == len(set(of)), "one excursion is one alert"


def test_a_released_gateway_leaves_no_lane_behind() -> None:
    """Another detector owns the log now: the parts of its lanes are gone, too."""
    parts: dict[str, bytes] = {}
    core = make_core()
    core.handle(pack(1, 0.0))
    core.handle(pack(10, 0.0, live=10))
    core.handle(pack(2, 1.0, live=10))
    parts |= {key: content for key, content in core.save().items() if content is not None}
    assert [key for key in parts if key.startswith("late/")] == ["late/gw/10/a0"]
    assert core.release("gw") == []
    assert {key for key, content in core.save().items() if content is None} >= {"late/gw/10/a0", "log/gw"}


def test_a_sensor_out_of_range_is_one_alert_whatever_the_order() -> None:
    """A range keeps a switch, not a stuck state: late rows give its alert the earlier onset, and it ends."""
    rule = RangeRule(name="range", metric="level", low=-1.0, high=1.0, hold=Seconds(0))
    ordered, laned = (DetectorCore("det", "plant", DetectSettings(rule=(rule,)), {}) for _ in range(2))
    rows = {1: 0.0, 2: 0.0, 3: 9.0, 4: 9.0, 5: 9.0, 6: 0.0}
    expected = [alert for seq, level in rows.items() for alert in ordered.handle(pack(seq, level))]
    assert [alert.kind for alert in expected] == [AlertKind.SENSOR] * 2
    found = []
    for seq, live in ((1, 1), (4, 4), (2, 4), (3, 4), (5, 4), (6, 4)):
        found += laned.handle(pack(seq, rows[seq], live=live))
    assert {alert.onset_at_ns for alert in found[-1:]} == {expected[0].onset_at_ns}
    assert found[-1].state is AlertState.CLEARED
    assert sum(alert.version == 1 for alert in found) == 1
