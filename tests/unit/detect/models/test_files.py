"""Models as files: whole, checked before they are believed, scored without scikit-learn, swapped between two packs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgemesh.detect.learning.learner import Learner
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.models.files import MAX_MODEL_BYTES, ModelFile, read_model
from tests.unit.detect.learning.test_learner import MACHINE, SERIES, TABLE, VALUES, S, feed, make, save


@pytest.fixture(scope="module")
def model() -> bytes:
    learner = make()
    feed(learner, TABLE[:200], MACHINE)
    content = learner.model("pump-1")
    assert content is not None
    return content


def other(version: int = 2) -> bytes:
    """A model of the same channels, learnt from other rows."""
    learner = make()
    feed(learner, TABLE[40:160], MACHINE)
    learner.state.about.version = version
    return learner.model("pump-1") or b""


def test_a_model_says_what_it_is_of(model: bytes) -> None:
    """Name, version, channels with units and normal ranges, rows and times, libraries; the alert's hash is its own."""
    file, profile = read_model(model)
    assert (file.name, file.version, file.rows, file.begin_ns, file.end_ns) == ("pump-1", 1, 100, 0, 99 * S)
    assert [(c.device, c.metric, c.unit, c.use) for c in file.channels] == [
        ("pump", "flow", "m3/h", "fast"), ("motor", "current", "A", "fast"), ("pump", "temperature", "Cel", "slow"),
    ]  # fmt: skip
    flow = file.channels[0]
    assert flow.low is not None
    assert flow.high is not None
    assert 88.0 < flow.low < 90.0 < flow.high < 92.0
    assert {"edgemesh", "numpy", "scikit-learn"} == set(file.libraries)
    assert profile.version == f"profile-1@{file.hash[:8]}"


def _tampered(model: bytes) -> dict[str, bytes]:
    fields = json.loads(model)
    trees = fields["profile"]["forest"]["trees"]
    cases = {
        "whole": model[: len(model) // 2],
        "seal": model.replace(b'"version":1', b'"version":7'),
        "part of one": b"",
        "no model": b'{"kind":"profile"}',
        "at most": b" " * (MAX_MODEL_BYTES + 1),
    }
    trees["child"][0] = 10**6
    cases["points outside"] = _sealed(fields)
    trees["child"][0], fields["hash"] = 1, "0" * 64
    cases["hash"] = _sealed(fields, rehash=False)
    fields["channels"][0]["metric"] = "head"
    cases["not those"] = _sealed(fields)
    return cases


def _sealed(fields: dict[str, object], *, rehash: bool = True) -> bytes:
    """What somebody could make who knows how files are sealed."""
    import hashlib

    profile = msgspec.json.encode(fields["profile"])
    file = msgspec.json.decode(msgspec.json.encode(fields), type=ModelFile)
    digest = hashlib.sha256(profile).hexdigest() if rehash else file.hash
    file = msgspec.structs.replace(file, hash=digest, seal="", profile=msgspec.Raw(profile))
    seal = hashlib.sha256(msgspec.json.encode(file)).hexdigest()
    return msgspec.json.encode(msgspec.structs.replace(file, seal=seal))


PROBLEMS = ("whole", "seal", "part of one", "no model", "at most", "points outside", "hash", "not those")


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_file_that_is_not_sound_is_refused(model: bytes, problem: str) -> None:
    """Half a file, a byte that was changed, trees that lead nowhere, channels that are others: said in words."""
    with pytest.raises(ValueError, match=problem):
        read_model(_tampered(model)[problem])


def test_any_byte_that_changes_is_noticed(model: bytes) -> None:
    """No single changed byte gives a model that says anything else and is believed."""
    file, _ = read_model(model)
    for place in range(0, len(model), max(1, len(model) // 300)):
        bent = model[:place] + bytes([model[place] ^ 1]) + model[place + 1 :]
        try:
            again, _ = read_model(bent)
        except ValueError:
            continue
        assert again == file


SCRIPT = """
import sys
sys.modules["sklearn"] = None  # importing it fails
from pathlib import Path
import numpy as np
from edgemesh.detect.models.files import read_model
_, profile = read_model(Path(sys.argv[1]).read_bytes())
rows = np.load(sys.argv[2])
np.save(sys.argv[3], profile.forest.score(rows))
"""


def test_it_is_scored_without_scikit_learn_and_as_it_scores(tmp_path: Path) -> None:
    """A process that can't import it reads the file and gives its scores within 1e-9."""
    from sklearn.ensemble import IsolationForest

    from edgemesh.detect.models.forest import flatten
    from edgemesh.detect.models.profile import Profile

    chance = np.random.default_rng(4)
    file, profile = read_model(other())
    width = profile.file.forest.trees.features if profile.file.forest else 0
    grown = IsolationForest(n_estimators=40, max_samples=64, random_state=3).fit(chance.normal(size=(300, width)))
    assert profile.file.forest is not None
    part = msgspec.structs.replace(profile.file.forest, trees=flatten(grown))
    plain = Profile(msgspec.json.encode(msgspec.structs.replace(profile.file, forest=part)))
    fields = json.loads(msgspec.json.encode(file))
    fields["profile"] = json.loads(plain.content)
    (tmp_path / "model.json").write_bytes(_sealed(fields))
    rows = chance.normal(size=(200, width)) * 2.0
    np.save(tmp_path / "rows.npy", rows)
    names = [str(tmp_path / name) for name in ("model.json", "rows.npy", "scores.npy")]
    subprocess.run([sys.executable, "-c", SCRIPT, *names], check=True)
    assert np.abs(np.load(names[2]) + grown.score_samples(rows)).max() <= 1e-9


def test_a_new_version_judges_from_the_next_row_and_the_old_one_is_kept() -> None:
    """What comes later is judged by the new one and names it; after a restart, too; and one can go back."""
    learner = make()
    kept: dict[str, bytes] = {}
    feed(learner, TABLE[:120], MACHINE)
    old, new = learner.model("pump-1") or b"", other()
    assert learner.use_model(new)
    assert not learner.use_model(new)
    save(learner, kept)
    learner = Learner(learner.settings, save(learner, kept), learner.stats)
    learner.restore(kept, MACHINE)
    _, profile = read_model(new)
    assert learner.version == f"profile-2@{profile.version[10:]}"
    raised = [signal for signal in feed(learner, TABLE[180:260], MACHINE, 180) if signal.firing]
    assert [signal.model for signal in raised] == [learner.version]
    assert learner.versions.files == {1: old}
    with pytest.raises(ValueError, match="not newer than version 2"):
        learner.use_model(old)
    assert learner.use_model(old, back=True)
    assert learner.version.startswith("profile-1@")
    assert list(learner.versions.files) == [2]


def test_a_model_can_spare_the_warm_up() -> None:
    """Given before anything is learnt it judges at once; nothing of the warm-up is left behind."""
    learner = make()
    kept: dict[str, bytes] = {}
    feed(learner, TABLE[:70], MACHINE)
    save(learner, kept)
    assert learner.use_model(other())
    assert feed(learner, TABLE[180:260], MACHINE, 180)
    save(learner, kept)
    assert not [name for name in kept if name.startswith("warmup/")]


def test_what_does_not_fit_changes_nothing() -> None:
    """Other channels, other units, a slow series: said, and it goes on as it was."""
    learner = make()
    feed(learner, TABLE[:150, :2], MACHINE[:2])
    before = learner.model("pump-1")
    with pytest.raises(ValueError, match="needs temperature of pump"):
        learner.use_model(other())
    assert learner.model("pump-1") == before
    bar = [("pump", "flow", "L/s"), *MACHINE[1:]]
    litres = make()
    feed(litres, TABLE[:150], bar)
    with pytest.raises(ValueError, match="flow of pump is in L/s, the model knows it in m3/h"):
        litres.use_model(other())
    series = make()
    feed(series, VALUES[:150], SERIES)
    assert series.model("x") is None
    with pytest.raises(ValueError, match="slow series"):
        series.use_model(other())


def test_an_alert_that_stands_goes_on_over_a_swap() -> None:
    """It is not cleared because the model changed, nor raised twice; it ends when the new model finds calm."""
    learner = make()
    (raised,) = feed(learner, TABLE[:220], MACHINE)
    assert learner.use_model(other())
    said = feed(learner, TABLE[220:320], MACHINE, 220)
    assert (raised.firing, [signal.firing for signal in said]) == (True, [False])
    assert said[0].at_ns >= 240 * S


def test_states_of_before_there_were_files_still_load() -> None:
    """Fields that came later have defaults."""
    assert msgspec.json.decode(b'{"method":"machine"}', type=LearnerState).about.version == 0
