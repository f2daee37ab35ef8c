"""The `[detection]` section."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.settings import DetectSettings, LimitRule, SilentRule, StuckRule
from edgemesh.model.alerts import Severity
from edgemesh.model.settings import decode_amount

SAMPLE = """
[[rule]]
kind = "limit"
asset_class = "pump"
metric = "flow"
below = 78.0
hold = "60s"
clear_hold = "2min"
severity = "critical"
gate = "running"
cause = "{metric} of {asset} is {value} {unit}, below {level}"

[[rule]]
kind = "silent"
after = "30s"

[[rule]]
kind = "stuck"
metric = "vibration_*"

[[model]]
asset_class = "pump"
exclude = ["running"]
gate = "running"
machine = { train_rows = 1800, kinds = { "load_*" = "electrical" }, forest_weight = 0.0, seed = 3 }

[[model]]
method = "series"

[model.series]
limit = 0.7
"""


def load(text: str) -> DetectSettings:
    return msgspec.convert(tomllib.loads(text), DetectSettings, dec_hook=decode_amount)


def test_the_three_kinds_of_rules_and_models_load() -> None:
    """A configuration reads as it is written, with units, and defaults that make sense."""
    settings = load(SAMPLE)
    limit, silent, stuck = settings.rule
    assert isinstance(limit, LimitRule)
    assert isinstance(silent, SilentRule)
    assert isinstance(stuck, StuckRule)
    assert (limit.hold, limit.clear_hold, limit.severity) == (60.0, 120.0, Severity.CRITICAL)
    assert limit.clear_level == pytest.approx(85.8)
    assert (silent.after, stuck.samples) == (30.0, 60)
    pump, rest = settings.model
    assert (pump.method, pump.exclude, pump.gate, pump.machine.train_rows) == ("auto", ("running",), "running", 1800)
    assert pump.machine.kinds == {"load_*": Kind.ELECTRICAL}
    assert (rest.asset_class, rest.method, rest.series.limit) == ("*", "series", 0.7)


@pytest.mark.parametrize(
    ("above", "below", "clear"), [(80.0, None, 72.0), (None, 50.0, 55.0), (-10.0, None, -11.0), (None, -10.0, -9.0)]
)
def test_the_clear_level_lies_inside(above: float | None, below: float | None, clear: float) -> None:
    """Hysteresis by default: a tenth of the level back inside, whatever its sign."""
    assert LimitRule(metric="m", above=above, below=below).clear_level == pytest.approx(clear)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ('kind = "limit"\nmetric = "flow"', "either `above` or `below`"),
        ('kind = "limit"\nmetric = "flow"\nabove = 1.0\nbelow = 0.0', "either `above` or `below`"),
        ('kind = "limit"\nmetric = "flow"\nabove = 1.0\nclear = 2.0', "beyond the level"),
        ('kind = "limit"\nmetric = "flow"\nabove = 1.0\ncause = "{value.__class__}"', "placeholders"),
        ('kind = "limit"\nmetric = "flow"\nabove = 1.0\ncause = "{value!r:>9}"', "placeholders"),
        ('kind = "limit"\nmetric = "flow"\nabove = 1.0\ncause = "{"', "cause|expected|Single"),
        ('kind = "limit"\nmetric = "flow"\nabove = 1.0\nhold = 60', "duration"),
        ('kind = "limit"\nmetric = "flow"\nabove = 1.0\nholt = "60s"', "holt"),
        ('kind = "slope"\nmetric = "flow"', "slope"),
        ('kind = "limit"\nmetric = "flow"\nabove = inf', "finite"),
    ],
)
def test_nonsense_is_refused_at_start(rule: str, problem: str) -> None:
    """A rule that can't be meant is refused with a reason, not at three in the morning."""
    with pytest.raises(msgspec.ValidationError, match=problem):
        load(f"[[rule]]\n{rule}\n")
