"""Templates as text: a list, one of them in full, and the pages that are made of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from edgemesh.detect.rules.settings import ChannelRule, DeviationRule, LevelRule, RangeRule, SilentRule, StuckRule
from edgemesh.detect.rules.settings import Rule as AnyRule
from edgemesh.detect.templates.catalogue import TEMPLATES
from edgemesh.detect.templates.expansion import TemplateUse, expand_template
from edgemesh.detect.templates.form import Template

_WIDTH = 100
EXAMPLES: dict[str, float] = {
    "best_flow": 90.0,
    "shut_off": 38.0,
    "curve": 7.407e-4,
    "magnetising": 16.1,
    "rated_current": 28.5,
    "max_pressure": 10.0,
}
"""Values for parameters that have no default: those of a pump of 15 kW, of a vessel for 10 bar."""


def list_lines() -> list[str]:
    """One line per template: name, class of asset, title."""
    return [f"{each.name:<20} {each.asset_class:<11} {each.title}" for each in TEMPLATES.values()]


def describe(template: Template, given: dict[str, float | str] | None = None) -> list[str]:
    """Everything about one template; what has no default gets an example, unless given. ValueError as `expand`."""
    use = TemplateUse(template=template.name, set={**_examples(template), **(given or {})})
    expanded = expand_template(template, use)
    lines = [f"{template.name}: {template.title}", f"for assets of class {template.asset_class}", ""]
    for parameter in template.parameters:
        default = "must be given" if parameter.default is None else f"default {parameter.default}"
        value = expanded.values[parameter.name]
        lines.append(
            f"  {parameter.name} = {value:g}" if isinstance(value, float) else f'  {parameter.name} = "{value}"'
        )
        lines[-1] += f"   {parameter.says} ({default})"
    lines += [""] if template.parameters else []
    rules = {rule.name: rule for rule in expanded.rules}
    for row in template.rows:
        lines += [f"{row.name}  ({row.metric})"]
        for severity in ("warning", "critical"):
            rule = rules.get(f"{row.name} {severity}")
            lines += [f"  {severity:<9} {summary(rule)}"] if rule else []
        for word, text in (("means", row.consequence), ("do", row.action), ("source", row.source)):
            lines += textwrap.wrap(text, _WIDTH, initial_indent=f"  {word:<9} ", subsequent_indent=" " * 12)
        lines.append("")
    lines += textwrap.wrap(template.notes, _WIDTH)
    lines.append("Levels are starting points; compliance with no standard is claimed.")
    return lines


def summary(rule: AnyRule) -> str:
    """A rule in a few words: level, hold, clear, gate."""
    if isinstance(rule, SilentRule):
        return f"after {rule.periods:g} periods, at least 10 s"
    if isinstance(rule, StuckRule):
        return f"{rule.samples} equal samples of a noisy channel"
    words = [_level(rule)]
    if rule.votes:
        words.append(f"{rule.votes} samples")
    if rule.smooth:
        words.append(f"mean of {_span(rule.smooth)}")
    words.append(f"for {_span(rule.hold)}")
    if isinstance(rule, LevelRule | DeviationRule):
        clear = rule.clear_level if isinstance(rule, LevelRule) else rule.clear_distance
        after = rule.hold if rule.clear_hold is None else rule.clear_hold
        words.append(f"clear {clear:.4g} for {_span(after)}")
    if rule.gate:
        words.append(f"while {rule.gate} for {_span(rule.gate_for)}")
    return ", ".join(words)


def _level(rule: ChannelRule) -> str:
    if isinstance(rule, RangeRule):
        return "sentinels " + ", ".join(f"{value:g}" for value in rule.sentinels)
    if isinstance(rule, DeviationRule):
        unit = {"absolute": "", "percent": " %", "spreads": " spreads"}[rule.measure]
        side = {1: "above", -1: "below", 0: "off"}[rule.sign]
        also = f" and beyond {rule.and_beyond:g}" if rule.and_beyond is not None else ""
        return f"{rule.distance:.4g}{unit} {side} its baseline{also}"
    assert isinstance(rule, LevelRule)
    per = getattr(rule, "per", None)
    return f"{'>' if rule.sign > 0 else '<'} {rule.level:.4g}" + (f" per {_span(per)}" if per else "")


def _span(seconds: float) -> str:
    """A duration as a configuration writes it.

    >>> _span(90.0), _span(600.0), _span(86400.0)
    ('90s', '10min', '1d')
    """
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds and seconds % size == 0.0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def parse_given(pairs: Sequence[str]) -> dict[str, float | str]:
    """Parameters written as `key=value`; ValueError for other texts.

    >>> parse_given(["category=I", "power_kw=250"])
    {'category': 'I', 'power_kw': 250.0}
    """
    given: dict[str, float | str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"expected a parameter like power_kw=15, got {pair!r}")
        try:
            given[key] = float(value)
        except ValueError:
            given[key] = value
    return given


def _examples(template: Template) -> dict[str, float | str]:
    return {each.name: EXAMPLES[each.name] for each in template.parameters if each.default is None}


def markdown() -> str:
    """The page of all templates: README.md beside this file, and the last part of docs/rules.md."""
    lines = [
        "# Templates of rules",
        "",
        "Made by `edgemesh templates --markdown` from the tables beside this file: change those, then run",
        "`make rule-pages`. A template is data: `form.py` says what it is made of, each other file holds some of them.",
        "Levels are starting points from the sources that stand with them, mostly secondary copies; compliance with no",
        "standard is claimed.",
        "",
    ]
    for template in TEMPLATES.values():
        lines += _section(template)
    return "\n".join(lines)


def _section(template: Template) -> list[str]:
    use: dict[str, Any] = _examples(template)
    rules = {rule.name: rule for rule in expand_template(template, TemplateUse(template=template.name, set=use)).rules}
    lines = [f"## {template.name}", "", f"{template.title}; for assets of class `{template.asset_class}`.", ""]
    if template.parameters:
        lines += ["| parameter | what | default |", "|---|---|---|"]
        for each in template.parameters:
            default = f"none; {EXAMPLES[each.name]:g} below" if each.default is None else f"{each.default}"
            lines.append(f"| `{each.name}` | {each.says} | {default} |")
        lines.append("")
    lines += ["| rule | metric | warning | critical | action | source |", "|---|---|---|---|---|---|"]
    for row in template.rows:
        shown = [rules.get(f"{row.name} {severity}") for severity in ("warning", "critical")]
        cells = [
            row.name,
            f"`{row.metric}`",
            *(summary(rule) if rule else "" for rule in shown),
            row.action,
            row.source,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *([template.notes, ""] if template.notes else [])]
