"""`edgemesh model`: what was learnt, from a site's folder, from recorded data, and as a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgemesh.agents.detector import DetectorCore
from edgemesh.cli import main
from edgemesh.configuration.loading import load
from edgemesh.detect.models.files import read_model
from edgemesh.launch.plant import journal_file
from edgemesh.log.journal import Journal
from edgemesh.model.packs import Readings
from edgemesh.model.rollouts import ModelOffer
from edgemesh.model.samples import Batch

CONFIG = """
[site]
id = "small"
data = "{data}"

[[asset]]
id = "pump-1"
class = "pump"

[[gateway]]
id = "gateway-1"

[detector]
agents = ["detector"]

[registry]

[[detection.model]]
machine = {{ train_rows = 120, trees = 10 }}
"""
ROWS = np.random.default_rng(5).normal(size=(150, 2)) + np.array([90.0, 22.0])
S = 10**9


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["model", *map(str, args)])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(CONFIG.format(data=tmp_path / "data"))
    return file


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "may.csv"
    lines = [f"2024-05-01 10:{i // 60:02}:{i % 60:02},{flow},{current}" for i, (flow, current) in enumerate(ROWS)]
    file.write_text("datetime,flow,current\n" + "\n".join(lines) + "\n")
    return file


def keep_a_site(config: Path) -> None:
    """A detector's log as it stands when one asset was learnt and another is being learnt."""
    configuration = load(config)
    core = DetectorCore("detector", "small", configuration.settings.detection, {})
    for seq, (asset, rows) in enumerate((("pump-1", ROWS), ("pump-2", ROWS[:30])), start=1):
        batch = Batch(
            device=f"d-{asset}",
            asset=asset,
            metrics=("flow", "current"),
            units=("m3/h", "A"),
            at_ns=tuple(i * S for i in range(len(rows))),
            values=tuple(map(tuple, rows.T.tolist())),
        )
        core.handle(Readings(agent="gateway-1", epoch="e", seq=seq, lowest=1, at_ns=0, records=(batch,)))
    file = journal_file(configuration.data, "detector")
    file.parent.mkdir(parents=True)
    journal = Journal.open(file, "detector")
    with journal.begin() as transaction:
        transaction.put_parts(core.save())
    journal.close()


def test_models_of_a_site_are_listed_and_shown(config: Path, tmp_path: Path) -> None:
    """By configuration or folder: version, rows, channels with what is normal; an asset that still learns says so."""
    keep_a_site(config)
    listed = run("list", config)
    assert listed.exit_code == 0, listed.output
    assert "pump-1        1  1970-01-01T00:00:00Z  1970-01-01T00:01:59Z    120         2  detector" in listed.output
    assert "pump-2  no model" not in listed.output
    assert "learning, 30 rows so far" in listed.output
    assert run("list", tmp_path / "data").output == listed.output
    shown = run("show", "pump-1", config, "--out", tmp_path / "p.json")
    assert shown.exit_code == 0, shown.output
    assert "120 rows" in shown.output
    assert "d-pump-1/flow" in shown.output
    assert run("show", tmp_path / "p.json").output == shown.output


def test_a_model_is_trained_from_a_recording(config: Path, recording: Path, tmp_path: Path) -> None:
    """The file holds what the detector of the configuration would learn, under the version that was asked for."""
    out = tmp_path / "p.json"
    trained = run("train", config, recording, "--asset", "pump-1", "--out", out, "--version", 3)
    assert trained.exit_code == 0, trained.output
    file, _ = read_model(out.read_bytes())
    assert (file.name, file.version, file.rows) == ("pump-1", 3, 120)
    assert {channel.metric for channel in file.channels} == {"flow", "current"}
    assert file.learnt_at_ns > file.end_ns > file.begin_ns > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["may.csv", "p.json", "site.toml"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: content[:-200], "perhaps only a part of one"),
        (lambda content: content.replace(b'"rows":120', b'"rows":121'), "seal does not fit"),
        (lambda _: json.dumps({"kind": "model", "v": 2}).encode(), "no model of this version"),
    ],
)
def test_a_file_that_is_not_sound_says_so(config: Path, tmp_path: Path, spoil: object, said: str) -> None:
    """Half a file, a changed byte, another schema: exit status 2 and one line."""
    keep_a_site(config)
    file = tmp_path / "p.json"
    assert run("show", "pump-1", config, "--out", file).exit_code == 0
    assert callable(spoil)
    file.write_bytes(spoil(file.read_bytes()))
    shown = run("show", file)
    assert (shown.exit_code, said in shown.output) == (2, True), shown.output


def test_what_is_not_there_says_what_is(config: Path, recording: Path, tmp_path: Path) -> None:
    """No site, no such asset, too few rows: exit status 2, and what to do."""
    assert "was the site started" in run("list", config).output
    keep_a_site(config)
    assert "there is pump-1, pump-2" in run("show", "pump-9", config).output
    assert "no model of pump-2 yet: 30 rows" in run("show", "pump-2", config).output
    recording.write_text("\n".join(recording.read_text().splitlines()[:50]) + "\n")
    short = run("train", config, recording, "--asset", "pump-1", "--out", tmp_path / "p.json")
    assert (short.exit_code, "not hold enough rows" in short.output) == (2, True), short.output
    assert not (tmp_path / "p.json").exists()


def test_a_list_says_what_was_offered(config: Path) -> None:
    """Behind the model that judges: which version is on trial, how far, or why it is not in use."""
    keep_a_site(config)
    configuration = load(config)
    journal = Journal.open(journal_file(configuration.data, "detector"), "detector")
    core = DetectorCore("detector", "small", configuration.settings.detection, {})
    core.load(journal.parts())
    core.handle(ModelOffer(asset="pump-1", revision=1, at_ns=0, version=4, content=b"half of one"))
    core.handle(ModelOffer(asset="pump-2", revision=1, at_ns=0, back=True))
    with journal.begin() as transaction:
        transaction.put_parts(core.save())
    journal.close()
    lines = run("list", config).output.splitlines()
    assert "detector; version 4: refused: its packing is damaged" in lines[1]
    assert "(detector); back to the former one: refused: there is no former version" in lines[2]
