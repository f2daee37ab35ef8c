"""The model of one machine."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.models.profile import IN_DOUBT, Learnt, Profile, learn_profile
from edgemesh.detect.models.settings import ProfileSettings

CHANCE = np.random.default_rng(8)
ROWS = CHANCE.normal(size=(400, 4)) * [0.5, 2.0, 0.01, 0.2] + [90.0, 20.0, 1.3, 55.0]
NAMES = ("flow", "current", "velocity", "bearing_temperature")
KINDS = (Kind.FLOW, Kind.ELECTRICAL, Kind.VIBRATION, Kind.THERMAL)
SETTINGS = ProfileSettings(trees=30)


def learnt(settings: ProfileSettings = SETTINGS, rows: np.ndarray = ROWS) -> Learnt:
    found = learn_profile(rows, NAMES, KINDS, settings)
    assert found is not None
    return found


def test_thermal_channels_stay_out_of_the_fast_score() -> None:
    """They are kept apart, by their kind."""
    file = learnt().profile.file
    assert (file.fast, file.slow) == ((0, 1, 2), (3,))


def test_a_warm_up_with_nothing_in_it_gives_no_profile() -> None:
    """Constant, thermal or unknown channels alone can't be learnt from, nor can too few rows."""
    assert learn_profile(np.full((400, 4), 5.0), NAMES, KINDS, SETTINGS) is None
    assert learn_profile(np.full((400, 4), np.nan), NAMES, KINDS, SETTINGS) is None
    assert learn_profile(ROWS, NAMES, (Kind.THERMAL,) * 4, SETTINGS) is None
    assert learn_profile(ROWS[:99], NAMES, KINDS, SETTINGS) is None


def test_a_step_in_the_warm_up_is_trimmed_if_wanted() -> None:
    """The spread is that of the rows behind the step."""
    rows = ROWS.copy()
    rows[:150, 1] += 40.0
    assert 145 <= learnt(rows=rows).start <= 175
    trimmed = learnt(rows=rows).profile.file.normal.scale[1]
    kept = learnt(ProfileSettings(trees=30, trim=False), rows).profile.file.normal.scale[1]
    assert trimmed < 3.0 < kept


def test_single_spikes_in_the_warm_up_change_little() -> None:
    """A sentinel among 400 values does not widen the spread."""
    rows = ROWS.copy()
    rows[100, 0], rows[300, 1] = 65535.0, np.inf
    rows[~np.isfinite(rows)] = np.nan
    scale = learnt(rows=rows).profile.file.normal.scale
    assert scale == pytest.approx(learnt().profile.file.normal.scale, rel=0.05)


def test_the_parts_are_a_choice() -> None:
    """Weight 0 is the chart alone, without a forest in the file; 1 is the forest alone; between, both have a say."""
    deviations = np.zeros((3, 7))
    deviations[1, 0], deviations[2, :] = 2.0, 0.9
    chart = learnt(ProfileSettings(forest_weight=0.0)).profile
    assert chart.file.forest is None
    assert chart.strange(deviations).tolist() == [0.0, 2.0, 0.9]
    forest = learnt(ProfileSettings(forest_weight=1.0, trees=100)).profile.strange(deviations)
    assert forest[2] > 1.0 > forest[0]
    both = learnt(ProfileSettings(forest_weight=0.5, trees=100)).profile.strange(deviations)
    assert both[2] == pytest.approx((0.9 * forest[2]) ** 0.5, rel=0.2)
    assert both[0] == 0.0 < IN_DOUBT


def test_a_profile_is_its_content() -> None:
    """The version names the bytes, and the bytes give back the same profile."""
    profile = learnt().profile
    back = Profile(profile.content)
    deviations = CHANCE.normal(size=(50, 7))
    assert back.version == profile.version
    assert np.array_equal(back.strange(deviations), profile.strange(deviations))
    assert learnt().profile.content == profile.content


def test_a_damaged_profile_is_refused() -> None:
    """Places, widths, limits and trees are checked; nothing half-believed."""
    content = learnt().profile.content
    tree = msgspec.json.decode(content)
    for change in (
        {"fast": [0, 1]},
        {"fast": [0, 1, 9]},
        {"slow": [0]},
        {"channels": ["flow"]},
        {"forest": tree["forest"] | {"limit": 0.0}},
        {"forest": tree["forest"] | {"trees": tree["forest"]["trees"] | {"features": 2}}},
        {"more": 1},
    ):
        with pytest.raises(ValueError, match=r"profile|forest|unknown field"):
            Profile(msgspec.json.encode(tree | change))
    with pytest.raises(ValueError, match="truncated"):
        Profile(content[:-1])
