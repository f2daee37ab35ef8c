"""From a template and what a configuration says of it to rules and derived channels."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from edgemesh.detect.base.patterns import Glob, Name
from edgemesh.detect.rules.derived_settings import Derived, default_inputs
from edgemesh.detect.rules.settings import Rule
from edgemesh.detect.templates.catalogue import find_template, nearest
from edgemesh.detect.templates.form import Level, Of, Parameter, Row, Template, Value, Values, of
from edgemesh.model.settings import Settings, decode_amount

_UNGATED = frozenset({"silent"})


class TemplateUse(Settings, frozen=True, kw_only=True):
    """A `[[detection.template]]`: which one, for whom, and what is different here.

    Without `asset_class` it is for its own class. `set` gives its parameters, `metrics` our names for its metrics.
    `gate` is the metric that says that the machine runs (empty: rules count always; default: the template's). `when` is
    a schedule for all its rules. `overrides` change keys of single rules by name, `without` leaves rules out.
    """

    template: str
    asset_class: Annotated[str, Meta(max_length=64)] = ""
    asset: Glob = "*"
    device: Glob = "*"
    gate: Name | None = None
    when: str = ""
    set: dict[str, float | str] = {}
    metrics: dict[str, str] = {}
    overrides: dict[str, dict[str, Any]] = {}
    without: tuple[str, ...] = ()


class Expanded(NamedTuple):
    """What a template becomes."""

    rules: tuple[Rule, ...]
    derived: tuple[Derived, ...]
    values: Values


def expand(use: TemplateUse) -> Expanded:
    """The rules and channels of a `[[detection.template]]`; ValueError says what is wrong and what would be right."""
    try:
        return expand_template(find_template(use.template), use)
    except (ValueError, msgspec.ValidationError) as error:
        text = str(error)
        raise ValueError(
            text if text.startswith("there is no template") else f"template {use.template!r}: {text}"
        ) from None


def expand_template(template: Template, use: TemplateUse) -> Expanded:
    """The same for a template that need not be in the catalogue."""
    values = _values(template, use.set)
    gate = template.gate if use.gate is None else use.gate
    tables = [table for row in template.rows for table in _tables(row, values, use.metrics, gate)]
    names = [table["name"] for table in tables]
    for name in (*use.overrides, *use.without):
        if name not in names:
            raise ValueError(f"it has no rule {name!r}{nearest(name, names)} Its rules are: {', '.join(names)}")
    whom = {"asset_class": use.asset_class or template.asset_class, "asset": use.asset}
    rules = [
        {
            **table,
            **whom,
            "device": use.device,
            **({"when": use.when} if use.when else {}),
            **use.overrides.get(table["name"], {}),
        }
        for table in tables
        if table["name"] not in use.without
    ]
    channels = [{**_renamed(channel, use.metrics), **whom} for channel in template.channels(values)]
    _check_metrics(template, use)
    return Expanded(
        tuple(_convert(rule, Rule, f"rule {rule['name']!r}") for rule in rules),
        tuple(_convert(channel, Derived, f"channel {channel.get('metric', '')!r}") for channel in channels),
        values,
    )


def _convert(table: dict[str, Any], kind: Any, what: str) -> Any:
    try:
        return msgspec.convert(table, kind, dec_hook=decode_amount)
    except msgspec.ValidationError as error:
        raise ValueError(f"{what}: {error}") from None


def _values(template: Template, given: dict[str, float | str]) -> dict[str, Value]:
    """All named values: what was given, defaults, and what the template computes of them."""
    names = [parameter.name for parameter in template.parameters]
    for name in given:
        if name not in names:
            known = f" Its parameters are: {', '.join(names)}" if names else " It has no parameters"
            raise ValueError(f"it has no parameter {name!r}{nearest(name, names)}{known}")
    values = {parameter.name: _checked(parameter, given.get(parameter.name)) for parameter in template.parameters}
    return {**values, **template.compute(values)}


def _checked(parameter: Parameter, given: Value | None) -> Value:
    value = parameter.default if given is None else given
    name, says = parameter.name, parameter.says
    if value is None:
        raise ValueError(f"it needs `{name}` in its `set`: {says}")
    if parameter.choices:
        text = f"{value:g}" if isinstance(value, int | float) else value
        if text not in parameter.choices:
            raise ValueError(f"`{name}` is one of {', '.join(parameter.choices)} ({says}), not {text!r}")
        return text
    if isinstance(value, str | bool) or not parameter.least <= value <= parameter.most:
        raise ValueError(f"`{name}` ({says}) is a number from {parameter.least:g} to {parameter.most:g}, not {value!r}")
    return float(value)


def _tables(row: Row, values: Values, metrics: dict[str, str], gate: str) -> list[dict[str, Any]]:
    """The row's rules, as they would stand in a configuration."""
    tables = []
    for severity, stage in (("warning", row.warning), ("critical", row.critical)):
        if stage is None:
            continue
        level = _number(stage.level, values, 0.0)
        table: dict[str, Any] = {"kind": row.kind, "name": f"{row.name} {severity}", "severity": severity}
        table |= {"consequence": row.consequence, "action": row.action}
        if row.kind not in _UNGATED:
            table["metric"] = metrics.get(row.metric, row.metric)
        if row.side:
            table[row.side] = round(level, 9) if row.side != "samples" else int(level)
        if row.cause:
            table["cause"] = row.cause
        if stage.hold:
            table["hold"] = values.get(stage.hold, stage.hold)
        if row.clear is not None:
            table["clear"] = round(_number(row.clear, values, level), 9)
        if row.clear_hold:
            table["clear_hold"] = row.clear_hold
        if row.gate_for and gate:
            table |= {"gate": gate, "gate_for": row.gate_for}
        table |= {key: _number(more, values, level) if isinstance(more, Of) else more for key, more in row.more.items()}
        tables.append(table)
    return tables


def _number(level: Level, values: Values, own: float) -> float:
    if not isinstance(level, Of):
        return level
    base = own if level.name == "level" else of(values, level.name)
    return base * level.factor + level.plus


def _renamed(channel: dict[str, Any], metrics: dict[str, str]) -> dict[str, Any]:
    """The channel with our names for its inputs. Inputs that keep their default names get ours, too."""
    full = {**default_inputs(channel["kind"]), **channel}
    inputs = {
        key: [metrics.get(name, name) for name in value] if isinstance(value, list) else metrics.get(value, value)
        for key, value in full.items()
        if key not in {"kind", "metric", "fresh", "over"} and isinstance(value, str | list)
    }
    return {**channel, **inputs}


def _check_metrics(template: Template, use: TemplateUse) -> None:
    """A new name for a metric that the template does not know is a slip of the pen."""
    plain = template.channels(_values(template, use.set))
    known = {row.metric for row in template.rows}
    for channel in plain:
        for value in _renamed(channel, {}).values():
            known |= set(value) if isinstance(value, list) else {value} if isinstance(value, str) else set()
    for name in use.metrics:
        if not any(fnmatchcase(name, pattern) for pattern in known):
            names = sorted(known - {"*"})
            raise ValueError(f"it has no metric {name!r}{nearest(name, names)} Its metrics are: {', '.join(names)}")
