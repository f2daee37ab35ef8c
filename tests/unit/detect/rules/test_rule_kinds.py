"""Rates, deviations, ranges, votes and schedules over columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.detect.base.columns import Columns
from edgemesh.detect.base.decision import Switch
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.base.signals import Signal
from edgemesh.detect.rules.evaluation import scan_rule
from edgemesh.detect.rules.gates import Gate, track_gate
from edgemesh.detect.rules.settings import ChannelRule, DeviationRule, LimitRule, RangeRule, RateRule, Rule
from edgemesh.detect.rules.trace import Trace
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.watch import Watch
from edgemesh.detect.watch_state import WatchState
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Severity
from edgemesh.model.samples import Batch, Quality
from edgemesh.model.settings import Seconds, decode_amount

S = 10**9
NAN = math.nan


def scan(rule: ChannelRule, values: Sequence[float | None], start: int = 0, step: int = 1) -> list[Signal]:
    at = tuple((start + i * step) * S for i in range(len(values)))
    part = Columns("d", ("m",), ("bar",), at, (tuple(values),), 0)
    return scan_rule(rule, Switch(), Trace(), part, 0, part.values[0], None, "P-1")


def moves(signals: list[Signal]) -> list[tuple[int, bool]]:
    return [(signal.at_ns // S, signal.firing) for signal in signals]


def test_a_rate_raises_on_the_slope_and_clears_when_it_is_level_again() -> None:
    """A slow rise is fine, a fast one is not, whatever the level; the unit is one per time."""
    rule = RateRule(metric="m", above=3.0, per=Seconds(60), over=Seconds(60), hold=Seconds(10))
    slow: list[float | None] = [0.02 * t for t in range(300)]
    assert scan(rule, slow) == []
    fast: list[float | None] = [*slow, *(6.0 + 0.1 * t for t in range(120)), *[18.0] * 200]
    raised, cleared = scan(rule, fast)
    assert (raised.firing, cleared.firing) == (True, False)
    assert 300 < raised.at_ns // S < 360
    assert raised.evidence[0].unit == "bar/min"
    assert raised.evidence[0].value == pytest.approx(3.7, abs=0.7)
    falling = RateRule(metric="m", below=-3.0, per=Seconds(60), over=Seconds(60))
    assert moves(scan(falling, [-value for value in fast if value is not None]))[0][1]


def test_a_deviation_compares_with_its_baseline_which_stands_still_while_it_fires() -> None:
    """No word while it learns; then 10 % above raises, and back within 6 % clears, however long it took."""
    rule = DeviationRule(
        metric="m", above=10.0, measure="percent", learn=Seconds(60), follow=Seconds(600), hold=Seconds(5)
    )
    values: Sequence[float | None] = [100.0] * 100 + [115.0] * 5000 + [104.0] * 20
    assert moves(scan(rule, values)) == [(105, True), (5105, False)]
    assert scan(rule, [100.0] * 10 + [115.0] * 45) == []
    (raised, _) = scan(rule, values)
    assert raised.evidence[0].normal == "< 110"


def test_a_deviation_follows_what_changes_slowly() -> None:
    """A drift that is slow against its memory raises nothing; the same drift in a hundredth of the time does."""
    rule = DeviationRule(metric="m", away=5.0, learn=Seconds(100), follow=Seconds(100))
    assert scan(rule, [100.0] * 200 + [100.0 + 0.01 * t for t in range(5000)]) == []
    assert scan(rule, [100.0] * 200 + [100.0 + 1.0 * t for t in range(50)])


def test_deviations_in_spreads_and_with_a_second_condition() -> None:
    """Distances can be multiples of the scatter, and the value itself may have to be beyond something, too."""
    noise: list[float | None] = [100.0, 102.0] * 200
    spreads = DeviationRule(metric="m", away=4.0, measure="spreads", learn=Seconds(100))
    assert scan(spreads, [*noise, 104.0]) == []
    (raised,) = scan(spreads, [*noise, 106.0])
    low, _, high = raised.evidence[0].normal.partition("..")
    assert (float(low), float(high)) == pytest.approx((97.0, 105.0), abs=0.1)
    rule = DeviationRule(metric="m", above=5.0, learn=Seconds(10), and_beyond=110.0)
    assert scan(rule, [100.0] * 20 + [108.0] * 20) == []
    assert scan(rule, [100.0] * 20 + [111.0])


def test_a_range_is_about_the_sensor() -> None:
    """Out of range for its hold, or a sentinel, is an alert of the kind sensor; a single slip is none."""
    rule = RangeRule(metric="m", low=0.0, high=10.0, hold=Seconds(5))
    assert scan(rule, [5.0, 65535.0, 5.0, 5.0, -1.0, 5.0] * 10) == []
    raised, cleared = scan(rule, [5.0] * 3 + [10.4] * 10 + [5.0] * 10)
    assert raised.kind is cleared.kind is AlertKind.SENSOR
    assert moves([raised, cleared]) == [(8, True), (18, False)]


def test_votes_believe_several_samples() -> None:
    """Three of five: two spikes in a row are none, three are, and it ends by votes as well."""
    rule = LimitRule(metric="m", above=4.5, clear=4.0, votes="3 of 5")
    assert scan(rule, [3.0, 9.0, 9.0, 3.0, 3.0, 3.0, 9.0, 3.0]) == []
    values: list[float | None] = [3.0, 9.0, 3.0, 9.0, 9.0, 3.0, 3.0, 3.0]
    assert moves(scan(rule, values)) == [(4, True), (6, False)]


def test_an_average_is_looked_at_in_the_place_of_values() -> None:
    """`smooth` hears a shift below the noise and does not hear the noise."""
    rule = LimitRule(metric="m", below=-0.8, clear=-0.5, smooth=Seconds(60))
    noise: list[float | None] = [3.0, -3.0] * 300
    assert scan(rule, noise) == []
    assert moves(scan(rule, noise + [value - 1.2 for value in noise if value is not None]))[0][1]


def test_outside_its_schedule_a_rule_raises_nothing_but_may_end() -> None:
    """1970 began on a Thursday at 00:00: hours from 00:01 to 00:02 alone."""
    rule = LimitRule(metric="m", above=1.0, when="Thu 00:01-00:02")
    assert moves(scan(rule, [2.0] * 180)) == [(60, True)]
    assert moves(scan(rule, [2.0] * 130 + [0.0] * 10)) == [(60, True), (130, False)]
    assert scan(LimitRule(metric="m", above=1.0, when="Fri"), [2.0] * 180) == []


KINDS: list[Rule] = [
    LimitRule(metric="m", above=2.0, hold=Seconds(2), votes="2 of 3", smooth=Seconds(2)),
    RateRule(metric="m", above=10.0, per=Seconds(60), over=Seconds(8), hold=Seconds(1)),
    DeviationRule(metric="m", away=1.5, learn=Seconds(4), follow=Seconds(50), hold=Seconds(1)),
    RangeRule(metric="m", low=0.0, high=4.0, hold=Seconds(1)),
]
VALUES = st.lists(st.sampled_from([0.0, 1.0, 2.5, 4.0, 9.0, 65535.0, None, NAN]), min_size=1, max_size=40)


def batch(values: list[float | None], start: int) -> Batch:
    """NaN stands for a reading of uncertain quality, far out."""
    doubtful = [value is not None and value != value for value in values]
    return Batch(
        device="d",
        asset="P-1",
        metrics=("m",),
        units=("bar",),
        at_ns=tuple((start + i) * S for i in range(len(values))),
        values=(tuple(1e6 if doubt else value for value, doubt in zip(values, doubtful, strict=True)),),
        quality=(tuple(Quality.UNCERTAIN if doubt else Quality.GOOD for doubt in doubtful),),
    )


def watch() -> Watch:
    stats = dict.fromkeys(("late", "duplicate", "clock_steps", "models_refused"), 0.0)
    return Watch("s", Asset(id="P-1"), "g", DetectSettings(rule=tuple(KINDS)), stats)


@given(VALUES, st.integers(1, 39))
def test_a_checkpoint_at_any_sample_changes_nothing(values: list[float | None], cut: int) -> None:
    """Saved, loaded and gone on with: the same alerts with the same ids as without a break."""
    whole = watch()
    expected = [
        alert
        for i, value in enumerate(values)
        for alert in whole.take([batch([value], i)], Moment(clock_ns=i * S, now_ns=i * S))
    ]
    first, found = watch(), []
    for i, value in enumerate(values):
        if i == cut:
            state = msgspec.json.decode(msgspec.json.encode(first.state), type=WatchState)
            first = watch()
            first.restore(state, {})
        found += first.take([batch([value], i)], Moment(clock_ns=i * S, now_ns=i * S))
    assert found == expected


@given(VALUES, st.integers(1, 39))
def test_how_samples_are_packed_does_not_matter_to_any_kind(values: list[float | None], cut: int) -> None:
    """One batch or two: the same decisions at the same samples."""
    for rule in KINDS:
        assert isinstance(rule, ChannelRule)
        whole = moves(scan(rule, values))
        switch, trace, found = Switch(), Trace(), []
        for start, some in ((0, values[:cut]), (cut, values[cut:])):
            if some:
                at = tuple((start + i) * S for i in range(len(some)))
                part = Columns("d", ("m",), ("bar",), at, (tuple(some),), 0)
                found += moves(scan_rule(rule, switch, trace, part, 0, part.values[0], None, "P-1"))
        assert found == whole


@given(st.lists(st.sampled_from([None, NAN]), min_size=1, max_size=60))
def test_what_is_unknown_never_compares(values: list[float | None]) -> None:
    """Missing or uncertain values raise nothing with any kind, and end nothing."""
    for rule in KINDS:
        assert isinstance(rule, ChannelRule)
        assert scan(rule, values) == []
        at = tuple(range(0, len(values) * S, S))
        part = Columns("d", ("m",), ("bar",), at, (tuple(values),), 0)
        switch = Switch(firing=True)
        assert scan_rule(rule, switch, Trace(), part, 0, part.values[0], None, "P-1") == []
        assert switch.firing


def test_a_gate_that_is_unknown_lets_nothing_through() -> None:
    """Of a machine of which nobody knows whether it runs no rule says anything."""
    closed = track_gate(Gate(), "running", [])
    for rule in KINDS:
        assert isinstance(rule, ChannelRule)
        part = Columns("d", ("m",), ("bar",), tuple(range(0, 60 * S, S)), (tuple([1.0, 900.0] * 30),), 0)
        assert scan_rule(rule, Switch(), Trace(), part, 0, part.values[0], closed, "P-1") == []


def play(found: Watch, values: list[float | None]) -> list[Alert]:
    return found.take([batch(values, 0)], Moment(now_ns=60 * S, clock_ns=60 * S))


def test_what_is_out_of_range_is_compared_by_no_other_rule() -> None:
    """A sentinel above every limit makes one alert about the sensor, none about the machine."""
    rules = (RangeRule(metric="m", low=0.0, high=10.0, hold=Seconds(1)), LimitRule(metric="m", above=5.0))
    stats = dict.fromkeys(("late", "duplicate", "clock_steps"), 0.0)
    found = Watch("s", Asset(id="P-1"), "g", DetectSettings(rule=rules), stats)
    (alert,) = play(found, [1.0, 65535.0, 65535.0, 11.0])
    assert (alert.kind, alert.state) == (AlertKind.SENSOR, AlertState.FIRING)
    unguarded = Watch("s", Asset(id="P-1"), "g", DetectSettings(rule=rules[1:]), stats)
    assert [each.kind for each in play(unguarded, [1.0, 65535.0])] == [AlertKind.MACHINE]


def test_advice_reaches_the_alert_and_the_graver_rule_has_the_word() -> None:
    """Consequence and action stand on the alert; when it gets worse, those of the rule that says so."""
    mild = LimitRule(metric="m", above=1.0, consequence="wear", action="plan")
    grave = LimitRule(metric="m", above=3.0, severity=Severity.CRITICAL, consequence="break", action="stop")
    stats = dict.fromkeys(("late", "duplicate", "clock_steps"), 0.0)
    found = Watch("s", Asset(id="P-1"), "g", DetectSettings(rule=(mild, grave)), stats)
    first, second = play(found, [0.0, 2.0, 4.0])
    assert (first.consequence, first.action) == ("wear", "plan")
    assert (second.consequence, second.action) == ("break", "stop")


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"kind": "rate", "metric": "m"}, "a rate needs either"),
        ({"kind": "rate", "metric": "m", "above": 1.0, "over": "0s"}, "longer than nothing"),
        ({"kind": "deviation", "metric": "m"}, "one of `above`, `below` and `away`"),
        ({"kind": "deviation", "metric": "m", "above": -1.0}, "above 0"),
        ({"kind": "deviation", "metric": "m", "above": 1.0, "clear": 2.0}, "between 0 and the distance"),
        ({"kind": "deviation", "metric": "m", "away": 1.0, "and_beyond": 2.0}, "goes with"),
        ({"kind": "range", "metric": "m", "low": 2.0, "high": 1.0}, "does not lie below"),
        ({"kind": "range", "metric": "m", "low": 2.0, "ne43": True}, "4 mA and 20 mA"),
        ({"kind": "range", "metric": "m", "sentinels": []}, "needs `low`, `high` or"),
        ({"kind": "limit", "metric": "m", "above": 2.0, "votes": "9"}, "votes like"),
        ({"kind": "limit", "metric": "m", "above": 2.0, "when": "whenever"}, "schedule like"),
        ({"kind": "silent", "when": "Moonday"}, "schedule like"),
    ],
)
def test_nonsense_is_refused_at_start(table: dict[str, object], problem: str) -> None:
    """Each kind says what of a rule can't be meant."""
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(table, Rule, dec_hook=decode_amount)


def test_another_detector_goes_on_with_the_alert_of_a_range() -> None:
    """Adopted, it fires until it is found calm here, and it is over when no rule here has that name."""
    rules = (RangeRule(name="range", metric="m", low=0.0, high=4.0, hold=Seconds(0)),)
    stats = dict.fromkeys(("late", "duplicate", "clock_steps"), 0.0)
    (alert,) = play(Watch("s", Asset(id="P-1"), "g", DetectSettings(rule=rules), stats), [9.0])
    heir = Watch("s", Asset(id="P-1"), "g", DetectSettings(rule=rules), stats)
    heir.adopt(alert, Moment())
    (over,) = play(heir, [2.0])
    assert (over.id, over.state) == (alert.id, AlertState.CLEARED)
    stranger = Watch("s", Asset(id="P-1"), "g", DetectSettings(), stats)
    stranger.adopt(alert, Moment())
    assert [each.state for each in stranger.forget_unknown(Moment())] == [AlertState.CLEARED]
