"""Kinds of channels."""

from __future__ import annotations

import pytest

from edgemesh.detect.models.kinds import Kind, find_kind


@pytest.mark.parametrize(
    ("metric", "unit", "kind"),
    [
        ("accelerometer1_rms", "1", Kind.VIBRATION),
        ("vibration_velocity", "mm/s", Kind.VIBRATION),
        ("winding_temperature", "Cel", Kind.THERMAL),
        ("thermocouple", "1", Kind.THERMAL),
        ("t7", "Cel", Kind.THERMAL),
        ("motor_current", "A", Kind.ELECTRICAL),
        ("voltage", "1", Kind.ELECTRICAL),
        ("discharge_pressure", "bar", Kind.PRESSURE),
        ("volume_flow_rate_rms", "1", Kind.FLOW),
        ("speed", "/min", Kind.OTHER),
        ("level", "m", Kind.OTHER),
    ],
)
def test_unit_and_name_tell_the_kind(metric: str, unit: str, kind: Kind) -> None:
    """What a channel measures is found without configuration; the unit is believed before the name."""
    assert find_kind(metric, unit) is kind


def test_what_is_declared_wins() -> None:
    """A declared kind comes before unit and name; the first pattern that fits counts."""
    declared = {"flow_t*": Kind.THERMAL, "flow*": Kind.OTHER}
    assert find_kind("flow_t1", "m3/h", declared) is Kind.THERMAL
    assert find_kind("flow_2", "m3/h", declared) is Kind.OTHER
