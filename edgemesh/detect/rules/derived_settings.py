"""Settings of derived channels, one struct per `kind`; each is a `[[detection.derived]]` of the configuration.

Texts named like a quantity (`flow`, `suction`, ...) are names of metrics of the same asset; numbers are its data.
"""

from __future__ import annotations

from typing import Annotated, get_args

import msgspec
from msgspec import Meta

from edgemesh.detect.base.patterns import Glob
from edgemesh.model.ids import Id
from edgemesh.model.settings import Seconds, Settings

Positive = Annotated[float, Meta(gt=0.0)]
Share = Annotated[float, Meta(gt=0.0, le=1.0)]
Input = Id
Perhaps = Annotated[str, Meta(max_length=64)]
"""The name of a metric that may be left out: empty."""


class DerivedChannel(Settings, frozen=True, kw_only=True):
    """A channel `metric` of an asset that is computed from its other channels, at the times of the first of them.

    An input that is not known, not believed or older than `fresh` makes the result unknown.
    """

    metric: Id
    asset_class: Glob = "*"
    asset: Glob = "*"
    fresh: Seconds = Seconds(120.0)


class PumpCurve(DerivedChannel, frozen=True, kw_only=True):
    """What is known of a pump: `shut_off` head (m) and `curve` (m per (m3/h)²): H = H0 n² - a Q².

    `speed` with `rated_speed` (/min) gives n; without it n is 1.
    """

    flow: Input = "flow"
    speed: Perhaps = ""
    rated_speed: Positive = 1480.0
    shut_off: Positive
    curve: Positive


class Head(PumpCurve, frozen=True, kw_only=True, tag_field="kind", tag="head"):
    """Head residual (m): measured head less that of the pump's curve. Wear, air and leaks before the meter lower it."""

    metric: Id = "head_residual"
    suction: Input = "suction_pressure"
    discharge: Input = "discharge_pressure"


class PumpCurrent(PumpCurve, frozen=True, kw_only=True, tag_field="kind", tag="pump_current"):
    """Current residual (A): measured less what the pump needs for its metered flow.

    `magnetising` current (A), efficiencies as shares, mains `volts` if no `voltage` is measured.
    """

    metric: Id = "current_residual"
    current: Input = "motor_current"
    voltage: Perhaps = ""
    volts: Positive = 400.0
    best_flow: Positive
    magnetising: Positive
    pump_efficiency: Share = 0.75
    motor_efficiency: Share = 0.92


class Winding(DerivedChannel, frozen=True, kw_only=True, tag_field="kind", tag="winding"):
    """Winding residual (K): measured less what a thermal model of the motor says.

    `rise` (K) at `rated` current (A); `heating` and `cooling` are time constants, with current and without. `ambient`
    is a metric, or else `ambient_cel` is taken. The model is believed after `learn`: before that the result is unknown.
    """

    metric: Id = "winding_residual"
    winding: Input = "winding_temperature"
    current: Input = "motor_current"
    ambient: Perhaps = ""
    ambient_cel: float = 24.0
    rated: Positive
    rise: Positive = 80.0
    heating: Seconds = Seconds(1800.0)
    cooling: Seconds = Seconds(5400.0)
    learn: Seconds = Seconds(3600.0)


class Difference(DerivedChannel, frozen=True, kw_only=True, tag_field="kind", tag="difference"):
    """`of` less `less`, in the unit of the first (K for temperatures); `size_only`: without its sign."""

    of: Input
    less: Input
    size_only: bool = False


class Slip(DerivedChannel, frozen=True, kw_only=True, tag_field="kind", tag="slip"):
    """Slip (%) of a belt: how much slower `driven` is than `ratio` x `driving`."""

    metric: Id = "belt_slip"
    driven: Input
    driving: Input
    ratio: Positive = 1.0


class Unbalance(DerivedChannel, frozen=True, kw_only=True, tag_field="kind", tag="unbalance"):
    """Unbalance (%) of two or more metrics: the largest deviation from their mean."""

    of: Annotated[tuple[Input, ...], Meta(min_length=2, max_length=12)]


class Span(DerivedChannel, frozen=True, kw_only=True, tag_field="kind", tag="span"):
    """The largest of two or more like metrics less the smallest, in their unit (K for temperatures)."""

    of: Annotated[tuple[Input, ...], Meta(min_length=2, max_length=12)]


class Conductance(DerivedChannel, frozen=True, kw_only=True, tag_field="kind", tag="conductance"):
    """UA (kW/K) of a heat exchanger from its four temperatures and the flow of the cold side (m3/h).

    `heat`: kWh/(m3 K) of the cold fluid, 1.16 for water.
    """

    metric: Id = "conductance"
    hot_in: Input = "hot_in_temperature"
    hot_out: Input = "hot_out_temperature"
    cold_in: Input = "cold_in_temperature"
    cold_out: Input = "cold_out_temperature"
    flow: Input = "cold_flow"
    heat: Positive = 1.16


class DewMargin(DerivedChannel, frozen=True, kw_only=True, tag_field="kind", tag="dew_margin"):
    """How far (K) a `wall` is from condensation: its temperature less the dew point of the `air` at `humidity` (%)."""

    metric: Id = "dew_margin"
    air: Input = "air_temperature"
    humidity: Input = "humidity"
    wall: Perhaps = ""


class Scatter(DerivedChannel, frozen=True, kw_only=True, tag_field="kind", tag="scatter"):
    """How unsteady `of` is: standard deviation from sample to sample, over about `over` (time constant)."""

    of: Input
    over: Seconds = Seconds(60.0)


Derived = Head | PumpCurrent | Winding | Difference | Slip | Unbalance | Span | Conductance | DewMargin | Scatter


def default_inputs(kind: str) -> dict[str, str]:
    """The names that a kind of channel takes for its inputs where none are given.

    >>> default_inputs("head")
    {'flow': 'flow', 'suction': 'suction_pressure', 'discharge': 'discharge_pressure'}
    """
    (found,) = [each for each in get_args(Derived) if each.__struct_config__.tag == kind]
    return {
        field.name: field.default
        for field in msgspec.structs.fields(found)
        if isinstance(field.default, str) and field.default and field.name not in {"metric", "asset_class", "asset"}
    }
