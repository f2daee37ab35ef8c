"""Classes: several machines learnt together, and one of them known from a few rows."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.detect.classes.binding import bind_profile, bind_rows
from edgemesh.detect.classes.files import class_of, make_class, read_any, read_class
from edgemesh.detect.classes.numbers import ClassNumbers, learn_class
from edgemesh.detect.classes.roles import roles_of
from edgemesh.detect.methods.machine import MachineScorer
from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.models.profile import Profile, learn_profile
from edgemesh.detect.models.provenance import About
from edgemesh.detect.models.settings import ProfileSettings

ROLES = ("current", "flow", "temperature", "velocity")
UNITS = ("A", "m3/h", "Cel", "mm/s")
KINDS = (Kind.ELECTRICAL, Kind.FLOW, Kind.THERMAL, Kind.VIBRATION)
SETTINGS = ProfileSettings(trees=20, subsample=64, trim=False)
SHORT = 60


def machine(seed: int, rows: int = 400) -> np.ndarray:
    """Current follows a load that wanders, as flow does; each machine has its own size and noise."""
    chance = np.random.default_rng(seed)
    size, noise = chance.uniform(0.5, 2.0), chance.uniform(0.7, 1.4)
    load = np.zeros(rows)
    for row in range(1, rows):
        load[row] = 0.9 * load[row - 1] + chance.normal()
    own = chance.normal(size=(rows, 4)) * noise
    table = np.column_stack([22 + 0.5 * load, 90 + load, 50 + 0.001 * np.arange(rows), 3 + 0 * load])
    return np.asarray(size * table + own * size * np.array([0.2, 0.5, 0.1, 0.1]))


@pytest.fixture(scope="module")
def pumps() -> ClassNumbers:
    numbers = learn_class([machine(seed) for seed in range(6)], ROLES, KINDS, SETTINGS, SHORT)
    assert numbers is not None
    return numbers


def _file(numbers: ClassNumbers, version: int = 3) -> bytes:
    about = About(version, 2400, 1, 2, 3, {"numpy": "1"})
    return make_class("pump", numbers, UNITS, KINDS, [f"p{k}" for k in range(6)], about)


def test_a_newcomer_is_known_from_a_short_warm_up(pumps: ClassNumbers) -> None:
    """60 rows and its class tell an unseen machine's spread better than the 60 rows alone, in the mean of 20."""
    bound_off, alone_off = [], []
    for seed in range(100, 120):
        table = machine(seed)
        profile = bind_rows(pumps, ROLES, ROLES, table[:SHORT])
        assert profile is not None
        fast = list(profile.file.fast)
        true = np.log(table[:, fast].std(axis=0))
        bound_off.append(np.abs(np.log(profile.file.normal.scale) - true).mean())
        alone_off.append(np.abs(np.log(table[:SHORT, fast].std(axis=0)) - true).mean())
    assert np.mean(bound_off) < 0.75 * np.mean(alone_off)


def test_a_newcomer_is_neither_blind_nor_nervous(pumps: ClassNumbers) -> None:
    """After 60 rows of its own, of ten unseen machines nine at least are quiet for 300 rows, and all show a fault."""
    quiet = seen = 0
    for seed in range(200, 210):
        table = machine(seed)
        profile = bind_rows(pumps, ROLES, ROLES, table[:SHORT])
        assert profile is not None
        scorer = MachineScorer(ROLES, SETTINGS, units=UNITS)
        scorer.begin(profile)
        scorer.settle(table[:SHORT].tolist(), 15)
        quiet += not any(each.flag for each in scorer.take(table[SHORT:360].tolist()))
        ill = table[360:].copy()
        ill[:, 3] += 8.0 * table[:, 3].std()
        seen += any(each.flag for each in scorer.take(ill.tolist()))
    assert quiet >= 9
    assert seen == 10


def test_the_order_and_names_of_channels_play_no_part(pumps: ClassNumbers) -> None:
    """A machine whose channels come in another order and are called otherwise is judged the same, to the last bit."""
    table = machine(300)
    order = [3, 0, 2, 1]
    names = ["a/v", "b/i", "c/t", "d/q"]
    plain, other = MachineScorer(ROLES, SETTINGS, units=UNITS), MachineScorer(names, SETTINGS, units=UNITS)
    for scorer, roles, columns in ((plain, list(ROLES), [0, 1, 2, 3]), (other, [ROLES[k] for k in order], order)):
        profile = bind_rows(pumps, scorer.channels, roles, table[:SHORT, columns])
        assert profile is not None
        scorer.begin(profile)
    one = plain.take(table[SHORT:].tolist())
    two = other.take(table[SHORT:, order].tolist())
    assert [each.score for each in one] == [each.score for each in two]
    assert max(each.score for each in one) > 0.5


def test_what_an_asset_has_learnt_itself_is_bound_to_the_class(pumps: ClassNumbers) -> None:
    """Its own center is kept, and the spread nearly; the forest is that of the class."""
    learnt = learn_profile(machine(400), ROLES, KINDS, SETTINGS)
    assert learnt is not None
    bound = bind_profile(pumps, ROLES, ROLES, learnt.profile)
    assert bound.file.normal.center == learnt.profile.file.normal.center
    assert bound.file.normal.scale == pytest.approx(learnt.profile.file.normal.scale, rel=0.01)
    assert bound.file.forest == pumps.forest


def test_roles_that_do_not_fit_are_named(pumps: ClassNumbers) -> None:
    """Other roles, and one that did not vary, are refused by name; unknown values make it wait."""
    table = machine(1)
    with pytest.raises(ValueError, match="class has flow, the asset has head"):
        bind_rows(pumps, ROLES, ["current", "head", "temperature", "velocity"], table[:SHORT])
    holes = table[:SHORT].copy()
    holes[::5, 1] = np.nan
    assert bind_rows(pumps, ROLES, ROLES, holes) is None
    assert bind_rows(pumps, ROLES, ROLES, table[: SHORT - 1]) is None
    table[:, 1] = 90.0
    still = learn_profile(table, ROLES, KINDS, SETTINGS)
    assert still is not None
    with pytest.raises(ValueError, match="flow did not vary"):
        bind_profile(pumps, ROLES, ROLES, still.profile)


def test_too_little_is_not_learnt_from() -> None:
    """No machine, one that is too short, and none that varies: nothing."""
    assert learn_class([], ROLES, KINDS, SETTINGS, SHORT) is None
    assert learn_class([machine(1), machine(2, 187)], ROLES, KINDS, SETTINGS, SHORT) is None
    assert learn_class([np.ones((400, 4))], ROLES, KINDS, SETTINGS, SHORT) is None


def test_one_machine_makes_a_class_too() -> None:
    """Then nothing is known of how machines differ, and the newcomer's own spread counts more."""
    numbers = learn_class([machine(1)], ROLES, KINDS, SETTINGS, SHORT)
    several = learn_class([machine(1)] * 5, ROLES, KINDS, SETTINGS, SHORT)
    assert numbers is not None
    assert several is not None
    assert min(numbers.differs) > 2 * max(several.differs)


def test_a_file_of_a_class_names_roles_and_no_device(pumps: ClassNumbers) -> None:
    """Name, version, roles with units and uses, range, libraries; reading it again gives the same numbers."""
    content = _file(pumps)
    file, numbers = read_class(content)
    assert numbers == pumps
    assert (file.name, file.version, file.rows, file.assets[0]) == ("pump", 3, 2400, "p0")
    assert [(role.name, role.unit, role.use) for role in file.roles] == [
        ("current", "A", "fast"),
        ("flow", "m3/h", "fast"),
        ("temperature", "Cel", "slow"),
        ("velocity", "mm/s", "fast"),
    ]
    assert b"device" not in content
    assert read_any(content) == file
    assert class_of(content) == "pump"


def test_a_file_that_was_changed_is_refused(pumps: ClassNumbers) -> None:
    """Half of it, another version, numbers that are not sound, trees that can't be walked, though the seal fits."""
    content = _file(pumps)
    fields = json.loads(content)
    with pytest.raises(ValueError, match="whole JSON"):
        read_class(content[: len(content) // 2])
    with pytest.raises(ValueError, match="seal"):
        read_class(content.replace(b'"version":3', b'"version":4'))
    for change, message in (
        ({"gain": fields["numbers"]["gain"][1:]}, "differ in number"),
        ({"differs": [0.0, 1.0, 1.0]}, "out of range"),
        ({"scatter": [1e9, 1.0, 1.0]}, "spread"),
        ({"fast": [0, 0, 1]}, "twice"),
        ({"short_rows": 1}, "too short"),
    ):
        with pytest.raises(ValueError, match=message):
            msgspec.json.decode(msgspec.json.encode(fields["numbers"] | change), type=ClassNumbers)
    assert pumps.forest is not None
    broken = msgspec.structs.replace(pumps.forest.trees, child=(10**6, *pumps.forest.trees.child[1:]))
    forest = msgspec.structs.replace(pumps.forest, trees=broken)
    with pytest.raises(ValueError, match="points outside"):
        read_class(_file(msgspec.structs.replace(pumps, forest=forest)))


_NAMES = st.sampled_from(["p", "p-a", "p-b", "a", "b", "q-a"])


@given(st.lists(st.tuples(_NAMES, st.sampled_from(["m", "n"]), st.just("1")), unique=True, max_size=8))
@settings(max_examples=200)
def test_roles_are_unique_or_refused(channels: list[tuple[str, str, str]]) -> None:
    """Whatever devices are called: all roles differ and do not depend on the order, or it is said what to do."""
    try:
        roles = roles_of("p", channels)
    except ValueError as error:
        with pytest.raises(ValueError, match="places"):
            raise error from None
        return
    assert len(set(roles)) == len(roles)
    assert roles_of("p", channels[::-1]) == roles[::-1]
    for (_, metric, _), role in zip(channels, roles, strict=True):
        assert role.split("/")[-1] == metric


def test_a_bound_profile_is_a_profile_like_any_other(pumps: ClassNumbers) -> None:
    """It can be written, read again, and gives the same scores."""
    table = machine(500)
    profile = bind_rows(pumps, ROLES, ROLES, table[:SHORT])
    assert profile is not None
    again = Profile(profile.content)
    deviations = np.random.default_rng(1).normal(size=(50, len(profile.normal.owner)))
    assert again.strange(deviations.copy()).tolist() == profile.strange(deviations.copy()).tolist()
