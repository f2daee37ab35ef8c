"""Templates: data that becomes rules, with sources, checked parameters, and pages that tell the truth."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

import edgemesh.detect.templates
from edgemesh.detect.rules.settings import ChannelRule, DeviationRule, LimitRule, Rule, SilentRule
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.templates import TEMPLATES, TemplateUse, expand, text
from edgemesh.model.alerts import Severity
from edgemesh.model.settings import decode_amount

ROOT = Path(__file__).parents[4]
CLASSES = ("pump", "motor", "fan", "gearbox", "compressor", "valve", "exchanger", "tank", "cold-room", "cabinet", "pi")


def load(table: str) -> DetectSettings:
    return msgspec.convert(tomllib.loads(table), DetectSettings, dec_hook=decode_amount)


def use(name: str) -> TemplateUse:
    given = {each.name: text.EXAMPLES[each.name] for each in TEMPLATES[name].parameters if each.default is None}
    return TemplateUse(template=name, set=dict(given))


def rules_of(name: str) -> dict[str, Rule]:
    return {rule.name: rule for rule in expand(use(name)).rules}


def test_there_is_a_template_for_every_class_of_asset() -> None:
    """Pump, motor, fan, gearbox, compressor, valve, exchanger, tank, cold room, cabinet, Raspberry Pi."""
    assert set(CLASSES) <= {template.asset_class for template in TEMPLATES.values()}


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_expands_and_says_what_why_and_whence(name: str) -> None:
    """Each row has consequence, action and source; criticals lie beyond their warnings and clear levels inside."""
    rules = rules_of(name)
    for row in TEMPLATES[name].rows:
        assert row.consequence
        assert row.action
        assert row.source
        warning, critical = (rules.get(f"{row.name} {severity}") for severity in ("warning", "critical"))
        assert warning or critical
        for rule in (warning, critical):
            assert rule is None or (rule.consequence, rule.action) == (row.consequence, row.action)
        if isinstance(warning, LimitRule) and isinstance(critical, LimitRule):
            assert warning.sign * warning.level < critical.sign * critical.level
        if isinstance(warning, DeviationRule) and isinstance(critical, DeviationRule):
            assert warning.distance < critical.distance
    assert {rule.severity for rule in rules.values()} <= {Severity.WARNING, Severity.CRITICAL}


def test_levels_are_those_of_the_sheet() -> None:
    """Zone boundaries by category and power; a temperature class; a hold that follows from a parameter."""
    small = load('[[template]]\ntemplate = "pump-iso10816-7"')
    large = load('[[template]]\ntemplate = "pump-iso10816-7"\nset = { category = "I", power_kw = 250 }')
    levels = [[rule.level for rule in each.rule if isinstance(rule, LimitRule)] for each in (small, large)]
    assert levels == [[5.1, 8.5], [5.0, 7.6]]
    valve = load('[[template]]\ntemplate = "valve-position"\nset = { travel_s = 30 }').rule[0]
    assert isinstance(valve, ChannelRule)
    assert valve.hold == 60.0


def test_a_template_can_be_fitted_to_a_place() -> None:
    """For some assets, with names, gate, schedule, changed keys and rules left out; rules of the file go first."""
    settings = load("""
[[rule]]
kind = "limit"
name = "overload warning"
metric = "i"
above = 20.0

[[template]]
template = "motor-electrical"
asset_class = "pump"
asset = "pump-7"
gate = "on"
when = "Mon-Fri"
set = { rated_current = 20 }
metrics = { motor_current = "i", current_l1 = "ia" }
without = ["voltage unbalance warning", "voltage unbalance critical"]
overrides = { "overload critical" = { hold = "3s", above = 30 } }
""")
    own, *rules = settings.rule
    assert isinstance(own, LimitRule)
    assert own.level == 20.0
    assert not any("voltage" in rule.name for rule in rules)
    assert {(rule.asset_class, rule.asset, rule.when) for rule in rules} == {("pump", "pump-7", "Mon-Fri")}
    (overload,) = [rule for rule in rules if rule.name == "overload critical"]
    assert isinstance(overload, LimitRule)
    assert (overload.metric, overload.hold, overload.level, overload.gate) == ("i", 3.0, 30.0, "on")
    assert settings.derived[0].of[0] == "ia"  # type: ignore[union-attr]
    assert settings.template == ()


def test_a_template_that_needs_a_default_name_elsewhere_gets_it() -> None:
    """New names reach inputs that the template leaves at their defaults."""
    found = expand(msgspec.structs.replace(use("pump-residuals"), metrics={"suction_pressure": "p_in"}))
    assert found.derived[0].suction == "p_in"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('template = "pump-iso10816"', "did you mean `pump-iso10816-7`"),
        ('template = "pump-iso10816-7"\nset = { kategory = "I" }', "did you mean `category`"),
        ('template = "pump-iso10816-7"\nset = { category = "III" }', "one of I, II"),
        ('template = "pump-iso10816-7"\nset = { power_kw = 0.1 }', "a number from 1 to"),
        ('template = "pump-iso10816-7"\nset = { power_kw = "big" }', "a number from 1 to"),
        ('template = "motor-electrical"', "needs `rated_current`"),
        ('template = "tank-level"\nwithout = ["level hihg warning"]', "did you mean `level high warning`"),
        ('template = "tank-level"\noverrides = { "level high warning" = { holt = "3s" } }', "holt"),
        ('template = "tank-level"\noverrides = { "level high warning" = { hold = 3 } }', "duration"),
        ('template = "tank-level"\nmetrics = { levl = "l" }', "did you mean `level`"),
        ('template = "tank-level"\nwhen = "sometimes"', "schedule like"),
        ('template = "tank-level"\nseverity = "info"', "severity"),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest_right_name(table: str, problem: str) -> None:
    """At start, naming the template."""
    with pytest.raises(msgspec.ValidationError, match=problem):
        load(f"[[template]]\n{table}\n")


def test_the_pages_tell_the_truth() -> None:
    """README.md of the templates is made from the tables as they are, and docs/rules.md has each template and kind."""
    made = text.markdown()
    assert (Path(edgemesh.detect.templates.__file__).parent / "README.md").read_text() == made, "run: make rule-pages"
    page = (ROOT / "docs" / "rules.md").read_text()
    for name in TEMPLATES:
        assert f"| `{name}` |" in page
    for kind in ("limit", "rate", "deviation", "range", "silent", "stuck"):
        assert f"\n### {kind}" in page
    for kind in ("head", "pump_current", "winding", "difference", "slip", "unbalance", "span", "conductance",
                 "dew_margin", "scatter"):  # fmt: skip
        assert f"| `{kind}` |" in page
    assert "\n## Templates" in page
    assert "\n## Schedules" in page


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_can_be_read_in_full(name: str) -> None:
    """Every rule's level, what it means, what to do, and the source; and a line in the list."""
    shown = "\n".join(text.describe(TEMPLATES[name]))
    for row in TEMPLATES[name].rows:
        assert row.name in shown
    for word in ("means", "do", "source", "compliance"):
        assert word in shown
    assert any(line.startswith(name) for line in text.list_lines())


def test_silence_of_a_template_is_a_silence_rule() -> None:
    """Three periods warn, ten are critical."""
    found = [rule for rule in rules_of("device-health").values() if isinstance(rule, SilentRule)]
    assert [(rule.periods, rule.severity.value) for rule in found] == [(3.0, "warning"), (10.0, "critical")]
