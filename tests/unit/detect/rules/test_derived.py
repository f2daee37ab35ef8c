"""Channels that are computed from others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.detect.base.columns import Columns
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.rules import derived_settings as ds
from edgemesh.detect.rules.derived import FORMULAS, DerivedState, derive, inputs_of
from edgemesh.detect.rules.settings import LimitRule
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.watch import Watch
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert
from edgemesh.model.samples import Batch
from edgemesh.model.settings import Seconds, decode_amount

S = 10**9
NAN = math.nan
HEAD = ds.Head(shut_off=38.0, curve=7.407e-4)
TABLES: list[dict[str, object]] = [
    {"kind": "head", "shut_off": 38.0, "curve": 7.407e-4, "speed": "speed"},
    {"kind": "pump_current", "shut_off": 38.0, "curve": 7.407e-4, "best_flow": 90.0, "magnetising": 16.1},
    {"kind": "winding", "rated": 28.5},
    {"kind": "difference", "metric": "rise", "of": "a", "less": "b"},
    {"kind": "slip", "driven": "a", "driving": "b"},
    {"kind": "unbalance", "metric": "u", "of": ["a", "b", "c"]},
    {"kind": "span", "metric": "s", "of": ["a", "b", "c"]},
    {"kind": "conductance"},
    {"kind": "dew_margin", "wall": "wall"},
    {"kind": "scatter", "metric": "rough", "of": "a", "over": "3s"},
]


def channel(table: dict[str, object]) -> ds.Derived:
    found: ds.Derived = msgspec.convert(table, ds.Derived, dec_hook=decode_amount)
    return found


def columns(device: str, start: int = 0, step: int = 1, /, **values: Sequence[float | None]) -> Columns:
    length = len(next(iter(values.values())))
    units = tuple("Cel" if "temperature" in name else "1" for name in values)
    at = tuple((start + i * step) * S for i in range(length))
    return Columns(device, tuple(values), units, at, tuple(tuple(column) for column in values.values()), 0)


def last(found: list[Columns]) -> float | None:
    return found[-1].values[0][-1]


def test_a_head_residual_is_nothing_on_the_curve_and_falls_with_the_head() -> None:
    """90 m3/h at 32 m is on the curve; a bar less discharge is 10.2 m less head."""
    part = columns("p", flow=[90.0, 90.0], suction_pressure=[0.16, 0.16], discharge_pressure=[3.293, 2.293])
    (made,) = derive([HEAD], DerivedState(), [part])
    assert (made.metrics, made.units) == (("head_residual",), ("m",))
    one, two = made.values[0]
    assert one == pytest.approx(0.0, abs=0.05)
    assert two == pytest.approx(-10.2, abs=0.1)


def test_a_current_residual_shows_a_leak_before_the_meter() -> None:
    """The meter reads a tenth less than the pump delivers: more current than the metered flow needs."""
    pump = channel({**TABLES[1], "pump_efficiency": 0.76, "motor_efficiency": 0.921})
    part = columns("p", motor_current=[22.81, 22.81], flow=[90.0, 81.0])
    (made,) = derive([pump], DerivedState(), [part])
    sound, leaking = made.values[0]
    assert sound == pytest.approx(0.0, abs=0.05)
    assert leaking is not None
    assert 0.5 < leaking < 1.5


def test_a_winding_residual_follows_the_load_with_a_lag() -> None:
    """A step of load warms the winding as its time constant says: no residual; the same heat without load is one."""
    model = ds.Winding(rated=28.5, ambient_cel=20.0, learn=Seconds(60))
    state, celsius, residuals = DerivedState(), 20.0 + 80.0 * (20.0 / 28.5) ** 2, []
    for t in range(0, 7200, 10):
        load = 20.0 if t < 1000 else 27.0
        celsius += (20.0 + 80.0 * (load / 28.5) ** 2 - celsius) * -math.expm1(-10.0 / 1800.0)
        part = columns("m", t, winding_temperature=[celsius], motor_current=[load])
        residuals.append(last(derive([model], state, [part])))
    known = [value for value in residuals if value is not None and value == value]
    assert len(known) > 700
    assert max(map(abs, known)) < 1.0
    part = columns("m", 7200, winding_temperature=[celsius + 15.0], motor_current=[27.0])
    assert last(derive([model], state, [part])) == pytest.approx(15.0, abs=1.0)


def test_scatter_hears_noise_and_no_trend() -> None:
    """A ramp has no scatter, noise has its own."""
    rough = ds.Scatter(metric="rough", of="a", over=Seconds(20))
    assert last(derive([rough], DerivedState(), [columns("d", a=[0.01 * t for t in range(100)])])) < 0.01  # type: ignore[operator]
    noisy: list[float | None] = [3.0, 5.0, 4.0, 4.0] * 50
    found = last(derive([rough], DerivedState(), [columns("d", a=noisy)]))
    assert found == pytest.approx(math.sqrt((4.0 + 1.0 + 0.0 + 1.0) / 8.0), rel=0.1)


def test_inputs_may_come_from_other_devices_while_they_are_fresh() -> None:
    """The newest value at or before the sample counts, for `fresh`, also from an earlier pack; then it is unknown."""
    rise = ds.Difference(metric="rise", of="bearing_temperature", less="air_temperature", fresh=Seconds(10))
    state = DerivedState()
    assert derive([rise], state, [columns("room", 0, air_temperature=[20.0, 21.0])]) == []
    (made,) = derive([rise], state, [columns("pump", 2, 5, bearing_temperature=[50.0, 50.0, 50.0])])
    assert made.units == ("K",)
    assert made.values[0][:2] == (29.0, 29.0)
    assert math.isnan(made.values[0][2] or 0.0)


@given(st.sampled_from(TABLES), st.data())
def test_unknown_inputs_give_unknown_outputs(table: dict[str, object], data: st.DataObject) -> None:
    """Any input that is missing at first or not believed: no value, or NaN, never a number."""
    made = channel(table)
    names = inputs_of(made)
    victim = data.draw(st.sampled_from(names))
    bad = data.draw(st.sampled_from([None, NAN]))
    values: dict[str, list[float | None]] = {name: [3.0 + k, 4.0 + k] for k, name in enumerate(names)}
    values[victim] = [bad, bad]
    for found in derive([made], DerivedState(), [columns("d", **values)]):
        assert all(value is None or math.isnan(value) for value in found.values[0])


@given(st.sampled_from(TABLES), st.lists(st.floats(0.1, 100.0), min_size=12, max_size=12), st.integers(1, 11))
def test_how_samples_are_packed_does_not_matter(table: dict[str, object], values: list[float], cut: int) -> None:
    """One pack or two, with a checkpoint between: the same results."""
    made = channel(table)
    rows = {name: [value * (1.0 + 0.1 * k) for value in values] for k, name in enumerate(inputs_of(made))}
    (whole,) = derive([made], DerivedState(), [columns("d", **{name: list(row) for name, row in rows.items()})])
    state = DerivedState()
    (one,) = derive([made], state, [columns("d", **{name: list(row[:cut]) for name, row in rows.items()})])
    state = msgspec.json.decode(msgspec.json.encode(state), type=DerivedState)
    (two,) = derive([made], state, [columns("d", cut, **{name: list(row[cut:]) for name, row in rows.items()})])
    assert [repr(value) for value in (*one.values[0], *two.values[0])] == [repr(value) for value in whole.values[0]]


def test_rules_watch_derived_channels_like_any_other() -> None:
    """A limit on a difference raises an alert whose evidence is the difference."""
    settings = DetectSettings(
        rule=(LimitRule(metric="dp", above=4.0),), derived=(ds.Difference(metric="dp", of="a", less="b"),)
    )
    watch = Watch("s", Asset(id="P-1"), "g", settings, dict.fromkeys(("late", "duplicate", "clock_steps"), 0.0))
    batch = Batch(
        device="d", asset="P-1", metrics=("a", "b"), units=("bar", "bar"), at_ns=(1, 2), values=((3.0, 7.0), (2.0, 1.0))
    )
    (alert,) = watch.take([batch], Moment())
    assert isinstance(alert, Alert)
    assert (alert.evidence[0].metric, alert.evidence[0].value, alert.evidence[0].unit) == ("dp", 6.0, "bar")


def test_every_kind_has_a_formula_and_a_test() -> None:
    """Kinds, formulas and the tables of this file go together."""
    assert set(FORMULAS) == {type(channel(table)) for table in TABLES}
