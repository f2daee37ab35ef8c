"""Stuck values."""

from __future__ import annotations

import numpy as np

from edgemesh.detect.base.columns import Columns
from edgemesh.detect.rules.gates import GateTrack
from edgemesh.detect.rules.stuck import StuckState, scan_stuck
from edgemesh.detect.settings import StuckRule
from edgemesh.model.alerts import AlertKind

RULE = StuckRule(samples=60)


def scan(
    values: list[float], state: StuckState, start: int = 0, track: GateTrack | None = None
) -> tuple[list[tuple[int, bool]], list[float | None]]:
    at = tuple(range(start, start + len(values)))
    part = Columns("d", ("m",), ("bar",), at, (tuple(values),), 0)
    signals, muted = scan_stuck(RULE, state, part, 0, part.values[0], track)
    assert all(signal.kind is AlertKind.SENSOR for signal in signals)
    return [(signal.at_ns, signal.firing) for signal in signals], list(muted)


NOISE = np.random.default_rng(4).normal(size=200).tolist()


def test_a_noisy_channel_that_stands_still_is_stuck_until_it_moves_again() -> None:
    """Sixty equal samples raise, three changes clear, and what was stuck is not believed meanwhile."""
    state = StuckState()
    signals, muted = scan([*NOISE, *[3.0] * 100, *NOISE[:5]], state)
    assert signals == [(259, True), (302, False)]
    assert [i for i, value in enumerate(muted) if value != value] == list(range(259, 302))


def test_a_quiet_channel_is_allowed_to_stand_still() -> None:
    """Switches, setpoints and a closed valve never were noisy; a coarse channel needs a longer run."""
    assert scan([*[0.0] * 300, *[1.0] * 300, *[0.0] * 300], StuckState())[0] == []
    coarse = (np.random.default_rng(5).random(600) < 0.3).cumsum().astype(float).tolist()
    assert scan([*coarse, *[coarse[-1]] * 40], StuckState())[0] == []
    rare = (np.arange(600) // 10).astype(float).tolist()
    assert scan([*rare, *[rare[-1]] * 400], StuckState())[0] == []


def test_a_stopped_machine_is_not_stuck() -> None:
    """Behind a closed gate a constant value is as it should be."""
    closed = GateTrack([-1], [None])
    assert scan([*NOISE, *[0.0] * 500], StuckState(), track=closed)[0] == []


def test_packs_of_any_size_give_the_same_verdicts() -> None:
    """One sample at a time or all at once."""
    values = [*NOISE, *[3.0] * 100, *NOISE[:5]]
    state = StuckState()
    single = [move for i, value in enumerate(values) for move in scan([value], state, start=i)[0]]
    assert single == scan(values, StuckState())[0]
