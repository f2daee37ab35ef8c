"""Detectors that others wrote, in the agent: the law holds, state survives, and the agent goes on when they break."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.methods import plugged
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.settings import DetectSettings, LimitRule, ModelSettings
from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Readings
from edgemesh.model.settings import Seconds
from edgemesh.testing import check_core, make_readings
from tests.unit.detect.methods.test_plugged import Raising, install

RULE = LimitRule(name="flow low", metric="flow", below=85.0, clear=87.0, hold=Seconds(0), clear_hold=Seconds(0))
MACHINE = ProfileSettings(train_rows=100, trees=5)
ROWS = np.random.default_rng(8).normal(90.0, 0.5, size=300)
ROWS[200:230] -= 4.0
ROWS[260:290] -= 8.0


def packs(rows: int) -> list[Readings]:
    """Ten rows each, a row a second."""
    return [
        make_readings(ROWS[first : first + 10].tolist(), seq=1 + first // 10, at_s=float(first))
        for first in range(0, rows, 10)
    ]


def make(*methods: str) -> DetectorCore:
    plugin = {"lower": {"limit": 2.0}}
    model = ModelSettings(method=methods, vote="any", plugin=plugin, machine=MACHINE)
    return DetectorCore("detector-1", "site", DetectSettings(rule=(RULE,), model=(model,)), {})


@pytest.mark.parametrize("methods", [("lower",), ("machine", "lower")])
def test_the_law_of_cores_holds(monkeypatch: pytest.MonkeyPatch, methods: tuple[str, ...]) -> None:
    """Replay is equal, twice is once, and a restart after each pack changes nothing, alone and where several vote."""
    install(monkeypatch)
    alerts = [record for record in check_core(lambda: make(*methods), packs(300)) if isinstance(record, Alert)]
    assert alerts[0].onset_at_ns == make_readings([0.0], at_s=200.0).records[0].at_ns[0]
    assert "lower-1.2" in alerts[0].model


def test_rules_go_on_when_it_breaks(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted on the card and said once; the limit still raises and clears."""
    install(monkeypatch, Raising)
    plugged._say_once.cache_clear()
    core = make("lower")
    with caplog.at_level(logging.WARNING):
        alerts = [alert for each in packs(300) for alert in core.handle(each)]
    assert core.stats["detectors_failed"] == 1
    assert len(caplog.records) == 1
    assert [(alert.state, alert.model) for alert in alerts][:1] == [("firing", "rules")]
    assert alerts[-1].state == "cleared"
