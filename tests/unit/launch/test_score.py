"""One number per row of a recorded file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgemesh.errors import ConfigError, InputError
from edgemesh.launch.score import ScoreOptions, read_score_settings, score

CHANCE = np.random.default_rng(10)


def machine_file(path: Path, *, labels: bool = True, rows: int = 520) -> Path:
    table = CHANCE.normal(size=(rows, 3))
    table[450:, 1] += 5.0
    heads = "datetime;Current;Pressure;Volume Flow RateRMS" + (";anomaly;changepoint" if labels else "")
    lines = [
        f"2020-03-09 10:{i // 60:02d}:{i % 60:02d};" + ";".join(map(str, row)) + (f";{float(i >= 450)};0.0" * labels)
        for i, row in enumerate(table.tolist())
    ]
    path.write_text("\n".join([heads, *lines]) + "\n")
    return path


def test_a_machine_is_scored_without_configuration(tmp_path: Path) -> None:
    """One judgement per row below the heads, none flagged in the warm-up, the fault seen."""
    judged = list(score(ScoreOptions(source=machine_file(tmp_path / "a.csv"))))
    assert len(judged) == 520
    assert not any(each.flag for each in judged[:450])
    assert all(each.flag for each in judged[460:])


def test_labels_are_never_read(tmp_path: Path) -> None:
    """With label columns or without, the judgements are the same."""
    file = machine_file(tmp_path / "a.csv")
    bare = tmp_path / "b.csv"
    bare.write_text("".join(";".join(line.split(";")[:4]) + "\n" for line in file.read_text().splitlines()))
    assert list(score(ScoreOptions(source=file))) == list(score(ScoreOptions(source=bare)))


def test_a_series_is_scored_without_configuration(tmp_path: Path) -> None:
    """`timestamp,value` each five minutes: the series method names the row."""
    values = CHANCE.normal(size=400)
    values[300] = 40.0
    lines = [f"2014-02-{1 + i // 288:02d} {i // 12 % 24:02d}:{i * 5 % 60:02d}:00,{v}" for i, v in enumerate(values)]
    file = tmp_path / "s.csv"
    file.write_text("\n".join(["timestamp,value", *lines]) + "\n")
    judged = list(score(ScoreOptions(source=file)))
    assert len(judged) == 400
    assert judged[300].flag


def test_spoiled_rows_have_their_judgement_too(tmp_path: Path) -> None:
    """Short rows, words, and rows without a time: still one judgement per row."""
    file = machine_file(tmp_path / "a.csv")
    lines = file.read_text().splitlines()
    lines[30], lines[40], lines[50] = "2020-03-09 10:00:29;1.0", lines[40].replace("2020", "someday"), "x;y;z;u;v;w"
    file.write_text("\n".join(lines) + "\n")
    assert len(list(score(ScoreOptions(source=file)))) == 520


def test_what_the_call_asks_for_wins(tmp_path: Path) -> None:
    """Rows of the warm-up and the seed come from the call, then from the file, then from the defaults."""
    config = tmp_path / "c.toml"
    config.write_text(
        '[scoring]\nmethod = "machine"\n[scoring.machine]\ntrain_rows = 300\nforest_weight = 0.0\nseed = 4\n'
    )
    settings = read_score_settings(ScoreOptions(source=tmp_path, config=config, seed=9))
    assert (settings.method, settings.machine.train_rows, settings.machine.seed) == ("machine", 300, 9)
    assert settings.machine.forest_weight == 0.0
    assert read_score_settings(ScoreOptions(source=tmp_path, train_rows=500)).series.train_rows == 500


@pytest.mark.parametrize("text", ["[scoring]\nmethd = 1\n", "[scoring.machine]\ntrain_rows = 3\n", "scoring = 3\n"])
def test_settings_that_are_wrong_are_refused(tmp_path: Path, text: str) -> None:
    """The error names the file and the key."""
    config = tmp_path / "c.toml"
    config.write_text(text)
    with pytest.raises(ConfigError, match="scoring"):
        read_score_settings(ScoreOptions(source=tmp_path, config=config))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A missing file is the person's to mend."""
    with pytest.raises(InputError, match="no such file"):
        list(score(ScoreOptions(source=tmp_path / "none.csv")))
