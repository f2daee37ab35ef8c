"""`edgemesh model train --class` and what `push` makes of the model of a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgemesh.cli import main
from edgemesh.detect.classes.files import read_class
from edgemesh.launch.models import offers_of
from edgemesh.launch.plant import journal_file
from edgemesh.launch.rollout import Rollout, make_offers
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from tests.unit.backtest.small_data import write_history

CONFIG = """
[site]
id = "small"
data = "{data}"

[[asset]]
id = "pump-1"
class = "pump"

[[asset]]
id = "pump-2"
class = "pump"

[[asset]]
id = "fan-1"
class = "fan"

[[gateway]]
id = "gateway-1"

[detector]
agents = ["detector"]

[recorder]

[registry]

[[detection.model]]
machine = {{ train_rows = 200, trees = 5, subsample = 32 }}
"""
S = 10**9


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["model", *map(str, args)])


def rows(seed: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).normal(size=(220, 2)) + np.array([90.0, 22.0]))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(CONFIG.format(data=tmp_path / "data"))
    return file


def recording(file: Path, seed: int, second: str = "current") -> Path:
    lines = [f"2024-05-01 10:{i // 60:02}:{i % 60:02},{one},{two}" for i, (one, two) in enumerate(rows(seed))]
    file.write_text(f"datetime,flow,{second}\n" + "\n".join(lines) + "\n")
    return file


def test_a_class_is_trained_from_recordings_and_offered_to_each_of_its_assets(config: Path, tmp_path: Path) -> None:
    """Files are of the assets that they are called by, or as said; push names every pump and no fan, packed once."""
    one, two = recording(tmp_path / "pump-1.csv", 1), recording(tmp_path / "may.csv", 2)
    out = tmp_path / "pump.json"
    trained = run("train", config, one, f"old-pump={two}", "--class", "pump", "--out", out, "--version", 4)
    assert trained.exit_code == 0, trained.output
    file, _ = read_class(out.read_bytes())
    assert (file.name, file.version, file.assets, file.rows) == ("pump", 4, ("old-pump", "pump-1"), 400)
    assert [role.name for role in file.roles] == ["current", "flow"]
    shown = run("show", out)
    assert "class pump, version 4" in shown.output
    assert "old-pump, pump-1" in shown.output
    offers = make_offers(Rollout(offers_of(config, [out])))
    assert {asset: (each.version, each.asset_class) for asset, each in offers.items()} == {
        "pump-1": (4, "pump"),
        "pump-2": (4, "pump"),
    }
    assert offers["pump-1"].content is offers["pump-2"].content


def test_a_class_is_trained_from_the_history_of_a_site(config: Path, tmp_path: Path) -> None:
    """All assets of the class that it holds, and no other."""
    history = journal_file(tmp_path / "data", "recorder")
    packs = []
    for seq, (asset, seed) in enumerate((("pump-1", 3), ("pump-2", 4), ("fan-1", 5)), start=1):
        batch = Batch(
            device=f"{asset}-unit",
            asset=asset,
            metrics=("flow", "current"),
            units=("m3/h", "A"),
            at_ns=tuple(1_714_557_600 * S + k * S for k in range(220)),
            values=tuple(map(tuple, rows(seed).T.tolist())),
        )
        packs.append(Readings(agent="gateway-1", epoch="e", seq=seq, lowest=1, at_ns=batch.at_ns[-1], records=(batch,)))
    write_history(history, packs)
    out = tmp_path / "pump.json"
    trained = run("train", config, "--from-store", "--class", "pump", "--out", out)
    assert trained.exit_code == 0, trained.output
    assert read_class(out.read_bytes())[0].assets == ("pump-1", "pump-2")


def test_what_does_not_go_together_is_said(config: Path, tmp_path: Path) -> None:
    """Which role differs between which assets, an asset of another class, what is missing, and how to ask."""
    out = tmp_path / "p.json"
    one, other = recording(tmp_path / "a.csv", 1), recording(tmp_path / "b.csv", 2, "head")
    differ = run("train", config, one, other, "--class", "pump", "--out", out)
    assert "of current a has one in" in differ.output.replace("\n", " ")
    assert "b has none" in differ.output.replace("\n", " ")
    fan = run("train", config, f"fan-1={one}", "--class", "pump", "--out", out)
    assert "fan-1 is a fan, not a pump" in fan.output
    gone = run("train", config, tmp_path / "no.csv", "--class", "pump", "--out", out)
    assert "is not there" in gone.output
    twice = run("train", config, f"x={one}", f"x={other}", "--class", "pump", "--out", out)
    assert "more than one warm-up of x" in twice.output
    for given in ((one,), (one, "--class", "pump", "--asset", "x"), ("--class", "pump"), (one, other, "--asset", "x")):
        assert run("train", config, *given, "--out", out).exit_code == 2
    assert not out.exists()


def test_a_class_that_the_site_has_not_can_t_be_pushed(config: Path, tmp_path: Path) -> None:
    """It says which classes there are."""
    out = tmp_path / "p.json"
    run("train", config, recording(tmp_path / "a.csv", 1), "--class", "mixer", "--out", out)
    pushed = run("push", out, config)
    assert pushed.exit_code != 0
    assert "no [[asset]] of the class mixer" in pushed.output.replace("\n", " ")
    assert "fan, pump" in pushed.output
