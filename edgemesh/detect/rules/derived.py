"""Derived channels: columns computed from other columns of the asset, for rules to watch like any other."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from edgemesh.detect.base.columns import NOT_BELIEVED, Columns
from edgemesh.detect.rules import derived_settings as ds
from edgemesh.detect.rules import formulas
from edgemesh.detect.rules.levels import Smooth
from edgemesh.model.samples import Retimed

_NS = 10**9


class Known(msgspec.Struct, array_like=True):
    """The newest value of a channel, None where it is not to be believed."""

    at_ns: int
    value: float | None


class ModelState(msgspec.Struct, omit_defaults=True):
    """What a formula remembers: the value expected (or last seen), an average of squares, seconds that it learnt."""

    last_ns: int = -1
    square: Smooth = msgspec.field(default_factory=Smooth)
    expected: float = 0.0
    learnt_s: float = 0.0


class DerivedState(msgspec.Struct, omit_defaults=True):
    """What derived channels remember: inputs by metric, models by result and device."""

    known: dict[str, Known] = {}
    models: dict[str, ModelState] = {}

    def put_right(self, retimed: Retimed) -> None:
        """The clock is known now: go on as if it had been right all the time."""
        for known in self.known.values():
            known.at_ns = retimed.at(known.at_ns)
        for model in self.models.values():
            model.last_ns = retimed.at(model.last_ns)


Numbers = Sequence[float]
Compute = Callable[[Any, Numbers], float | None]
Follow = Callable[[Any, Numbers, ModelState, int], float | None]


class Formula(NamedTuple):
    """How a kind is computed: names of its inputs (the first one leads), its unit from the lead's, and the function.

    `compute` knows the inputs alone; `follow` a model of the past, too, and the instant (ns).
    """

    inputs: Callable[[Any], tuple[str, ...]]
    unit: Callable[[str], str]
    compute: Compute | None = None
    follow: Follow | None = None


def _ratio(channel: ds.PumpCurve, rest: Numbers) -> float:
    return rest[0] / channel.rated_speed if channel.speed else 1.0


def _head(c: ds.Head, x: Numbers) -> float | None:
    return formulas.head_residual(x[0], x[1], x[2], _ratio(c, x[3:]), shut_off=c.shut_off, curve=c.curve)


def _pump_current(c: ds.PumpCurrent, x: Numbers) -> float | None:
    current, flow, *rest = x
    volts = rest[-1] if c.voltage else c.volts
    expected = formulas.pump_current(
        flow,
        _ratio(c, rest),
        volts,
        shut_off=c.shut_off,
        curve=c.curve,
        best_flow=c.best_flow,
        pump_efficiency=c.pump_efficiency,
        motor_efficiency=c.motor_efficiency,
        magnetising=c.magnetising,
    )
    return None if expected is None else current - expected


def _winding(c: ds.Winding, x: Numbers, model: ModelState, at_ns: int) -> float | None:
    """A lag after the load; after a hole longer than `fresh` it begins anew at what is measured."""
    measured, current = x[0], x[1]
    elapsed_s = (at_ns - model.last_ns) / _NS
    if model.last_ns < 0 or not 0.0 <= elapsed_s <= c.fresh:
        model.expected, model.learnt_s, model.last_ns = measured, 0.0, at_ns
        return None
    target = formulas.winding_target(current, x[2] if c.ambient else c.ambient_cel, rated=c.rated, rise=c.rise)
    lag_s = c.heating if current > 0.1 * c.rated else c.cooling
    model.expected -= (target - model.expected) * math.expm1(-elapsed_s / lag_s) if lag_s > 0.0 else 0.0
    model.learnt_s, model.last_ns = min(1e9, model.learnt_s + elapsed_s), at_ns
    return measured - model.expected if model.learnt_s >= c.learn else None


def _scatter(c: ds.Scatter, x: Numbers, model: ModelState, at_ns: int) -> float | None:
    """From differences of neighbours, so that a trend does not count; unknown until it has seen `over` once.

    After a hole longer than `fresh` it begins anew. Source: von Neumann's mean square successive difference, 1941.
    """
    elapsed_s = (at_ns - model.last_ns) / _NS
    gap, anew = x[0] - model.expected, model.last_ns < 0 or not 0.0 <= elapsed_s <= c.fresh
    model.expected, model.last_ns = x[0], at_ns
    if anew:
        model.square, model.learnt_s = Smooth(), 0.0
        return None
    model.learnt_s = min(1e9, model.learnt_s + elapsed_s)
    square = model.square.step(gap * gap / 2.0, elapsed_s, c.over)
    return math.sqrt(square) if model.learnt_s >= c.over else None


def _dew_margin(c: ds.DewMargin, x: Numbers) -> float | None:
    dew = formulas.dew_point(x[0], x[1])
    return None if dew is None else (x[2] if c.wall else x[0]) - dew


def _conductance(c: ds.Conductance, x: Numbers) -> float | None:
    return formulas.conductance(x[0], x[1], x[2], x[3], flow=x[4], heat=c.heat)


def _difference(c: ds.Difference, x: Numbers) -> float | None:
    return abs(x[0] - x[1]) if c.size_only else x[0] - x[1]


def _distance_unit(unit: str) -> str:
    """The unit of a difference of two values."""
    return "K" if unit == "Cel" else unit


def _named(*names: str) -> tuple[str, ...]:
    return tuple(name for name in names if name)


FORMULAS: dict[type[ds.DerivedChannel], Formula] = {
    ds.Head: Formula(lambda c: _named(c.flow, c.suction, c.discharge, c.speed), lambda _: "m", _head),
    ds.PumpCurrent: Formula(lambda c: _named(c.current, c.flow, c.speed, c.voltage), lambda _: "A", _pump_current),
    ds.Winding: Formula(lambda c: _named(c.winding, c.current, c.ambient), lambda _: "K", follow=_winding),
    ds.Difference: Formula(lambda c: (c.of, c.less), _distance_unit, _difference),
    ds.Slip: Formula(
        lambda c: (c.driven, c.driving), lambda _: "%", lambda c, x: formulas.slip(x[0], x[1], ratio=c.ratio)
    ),
    ds.Unbalance: Formula(lambda c: c.of, lambda _: "%", lambda _, x: formulas.unbalance(x)),
    ds.Span: Formula(lambda c: c.of, _distance_unit, lambda _, x: max(x) - min(x)),
    ds.Conductance: Formula(
        lambda c: (c.hot_in, c.hot_out, c.cold_in, c.cold_out, c.flow), lambda _: "kW/K", _conductance
    ),
    ds.DewMargin: Formula(lambda c: _named(c.air, c.humidity, c.wall), lambda _: "K", _dew_margin),
    ds.Scatter: Formula(lambda c: (c.of,), _distance_unit, follow=_scatter),
}


class _Inputs:
    """The values of the needed metrics over the time of one pack, and before it."""

    def __init__(self, needed: frozenset[str], known: dict[str, Known], columns: Sequence[Columns]) -> None:
        self._series: dict[str, tuple[list[int], list[float]]] = {}
        found: dict[str, list[tuple[int, float]]] = {
            metric: [(last.at_ns, NOT_BELIEVED if last.value is None else last.value)]
            for metric, last in known.items()
            if metric in needed
        }
        for part in columns:
            for metric, values in zip(part.metrics, part.values, strict=True):
                if metric in needed:
                    row = found.setdefault(metric, [])
                    row += [(at, value) for at, value in zip(part.at_ns, values, strict=True) if value is not None]
        for metric, row in found.items():
            row.sort(key=lambda entry: entry[0])
            if row:
                self._series[metric] = [at for at, _ in row], [value for _, value in row]

    def at(self, metric: str, at_ns: int, fresh_ns: int) -> float:
        """The newest value at or before the instant; NaN where there is none that is fresh and believed."""
        times, values = self._series.get(metric, ([], []))
        place = bisect_right(times, at_ns) - 1
        return values[place] if place >= 0 and at_ns - times[place] <= fresh_ns else NOT_BELIEVED

    def note(self, known: dict[str, Known]) -> None:
        """Remember the newest values."""
        for metric, (times, values) in self._series.items():
            value = values[-1]
            known[metric] = Known(times[-1], None if value != value else value)


def inputs_of(channel: ds.Derived) -> tuple[str, ...]:
    """The metrics that a derived channel is computed from."""
    return FORMULAS[type(channel)].inputs(channel)


def derive(channels: Sequence[ds.Derived], state: DerivedState, columns: Sequence[Columns]) -> list[Columns]:
    """Compute the channels at each new sample of their leads; what is unknown is NaN, and so holds every rule."""
    if not channels:
        return []
    needed = frozenset(metric for channel in channels for metric in inputs_of(channel))
    inputs = _Inputs(needed, state.known, columns)
    made = [
        _compute(channel, state, inputs, part, part.metrics.index(inputs_of(channel)[0]))
        for channel in channels
        for part in columns
        if inputs_of(channel)[0] in part.metrics and channel.metric not in part.metrics
    ]
    inputs.note(state.known)
    return made


def _compute(channel: ds.Derived, state: DerivedState, inputs: _Inputs, part: Columns, k: int) -> Columns:
    formula = FORMULAS[type(channel)]
    others, fresh_ns = formula.inputs(channel)[1:], int(channel.fresh * _NS)
    own = {metric: part.values[part.metrics.index(metric)] for metric in others if metric in part.metrics}
    values: list[float | None] = []
    for i, (at, first) in enumerate(zip(part.at_ns, part.values[k], strict=True)):
        if first is None:
            values.append(None)
            continue
        row = [first]
        for metric in others:
            value = own[metric][i] if metric in own else None
            row.append(inputs.at(metric, at, fresh_ns) if value is None else value)
        result = None
        if not any(x != x for x in row):
            if formula.compute is not None:
                result = formula.compute(channel, row)
            elif formula.follow is not None:
                model = state.models.setdefault(f"{channel.metric}/{part.device}", ModelState())
                result = formula.follow(channel, row, model, at)
        values.append(result if result is not None and math.isfinite(result) else NOT_BELIEVED)
    return Columns(
        part.device, (channel.metric,), (formula.unit(part.units[k]),), part.at_ns, (tuple(values),), part.cap_ns
    )
