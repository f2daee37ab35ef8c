"""The form of a template: parameters, rows of rules with their levels, and the channels that they need computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Value = float | str
Values = Mapping[str, Value]


class Of(NamedTuple):
    """A number made of a named one: `factor` x value + `plus`. `level` names the row's own level."""

    name: str
    factor: float = 1.0
    plus: float = 0.0


Level = float | Of


class Stage(NamedTuple):
    """One severity of a row: its level, and how long beyond it (a duration in text)."""

    level: Level
    hold: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a template has to be told. `default` None: it must be said. `choices` or `least`..`most` are right."""

    name: str
    says: str
    default: Value | None = None
    choices: tuple[str, ...] = ()
    least: float = float("-inf")
    most: float = float("inf")


@dataclass(frozen=True, slots=True)
class Row:
    """One or two rules about one metric.

    `side` is the key of the level (`above`, `below`, `away`); `clear` ends the rule after `clear_hold`. `gate_for`:
    how long the machine has to run before it counts; empty: it counts always. `more`: further keys of the rule.
    """

    name: str
    metric: str
    side: str
    cause: str
    consequence: str
    action: str
    source: str
    warning: Stage | None = None
    critical: Stage | None = None
    clear: Level | None = None
    clear_hold: str = ""
    gate_for: str = ""
    kind: str = "limit"
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Template:
    """Rules for one class of asset, as data. `compute` makes further named levels of the parameters.

    `channels` gives the `[[detection.derived]]` tables that the rows need. `gate` is the metric that says that the
    machine runs, unless a configuration says another one.
    """

    name: str
    asset_class: str
    title: str
    rows: tuple[Row, ...]
    parameters: tuple[Parameter, ...] = ()
    compute: Callable[[Values], Values] = lambda _: {}
    channels: Callable[[Values], tuple[dict[str, Any], ...]] = lambda _: ()
    notes: str = ""
    gate: str = "running"


def of(values: Values, name: str) -> float:
    """The named number."""
    value = values[name]
    assert not isinstance(value, str)
    return value


PRACTICE = "engineering practice"
