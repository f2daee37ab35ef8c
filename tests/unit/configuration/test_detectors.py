"""Detectors that are plug-ins, as a configuration names them: right ones load, wrong ones say what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edgemesh.cli import main
from edgemesh.configuration.loading import load
from edgemesh.detect.methods.detectors import find_detector, installed
from edgemesh.errors import ConfigError
from edgemesh.launch.score import ScoreOptions, read_score_settings
from edgemesh.plugins import Plugin

CODE = """
from edgemesh.model.settings import Settings as Base
class Settings(Base, frozen=True, kw_only=True):
    limit: float = 3.0
def create(channels, settings): ...
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place on the path with a distribution of two detectors, one of which can't be imported."""
    info = tmp_path / "acme-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.2\n")
    points = "[edgemesh.detectors]\nlower_x = lower_here\nlost_x = lost_here\nempty_x = empty_here\n"
    (info / "entry_points.txt").write_text(points)
    (tmp_path / "lower_here.py").write_text(CODE)
    (tmp_path / "lost_here.py").write_text("import nothing_like_this\n")
    (tmp_path / "empty_here.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def write(site: Path, text: str) -> Path:
    file = site / "my.toml"
    file.write_text(f'[site]\nid = "s"\n[[detection.model]]\n{text}\n')
    return file


def test_a_detector_is_found_by_its_entry_point(site: Path) -> None:
    """With its name and what brought it; `edgemesh plugins` lists it without importing anything."""
    module, plugin = find_detector("lower_x")
    assert module.Settings().limit == 3.0
    assert plugin == Plugin("lower_x", "lower_here", "acme", "1.2")
    assert {"half_space_trees", "lower_x", "lost_x"} <= {plugin.name for plugin in installed()}


def test_a_method_with_settings_of_its_own(site: Path) -> None:
    """What is right loads; so does a detector that lacks something here, for which rules will go on alone."""
    models = load(write(site, 'method = "lower_x"\nplugin.lower_x = { limit = 2.5 }')).settings.detection.model
    assert (models[0].method, models[0].plugin) == ("lower_x", {"lower_x": {"limit": 2.5}})
    several = 'method = ["machine", "lower_x"]\nvote = { machine = 2, lower_x = 1 }\nplugin.lower_x = { limit = 2.5 }'
    assert load(write(site, several)).settings.detection.model[0].methods == ("machine", "lower_x")
    load(write(site, 'method = "lost_x"\nplugin.lost_x = { whatever = 1 }'))


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ('method = "lower_y"', "method", "no detector is named 'lower_y' (did you mean 'lower_x'?"),
        ('method = "machin"', "method", "did you mean 'machine'?"),
        ('method = "empty_x"', "method", "is no detector"),
        ('method = "lower x"', "method", ""),
        ('method = "lower_x"\nplugin.lower_x = { limits = 2.5 }', "plugin.lower_x.limits", "did you mean `limit`?"),
        ('method = "lower_x"\nplugin.lower_x = { limit = "high" }', "plugin.lower_x.limit", "expected `float`"),
        ('method = "lower_x"\nplugin.lower = { limit = 2.5 }', "plugin.lower", "did you mean `lower_x`?"),
        ("plugin.lower_x = { limit = 2.5 }", "plugin.lower_x", "the method is `auto`"),
        ('method = ["machine", "machine"]', "method", "names a method twice"),
        ('method = ["machine", "lower_y"]', "method", "did you mean 'lower_x'?"),
        ('method = ["machine", "lower_x"]\nvote = "all"', "vote", "invalid enum value 'all'"),
        ('method = ["machine", "lower_x"]\nvote = { machine = 2, lower = 1 }', "vote.lower", "did you mean `lower_x`?"),
        ('method = ["machine", "lower_x"]\nvote = { machine = 2 }', "vote.lower_x", "each has a weight"),
        ('method = ["machine", "lower_x"]\nvote = { machine = 0, lower_x = 1 }', "vote[...]", "expected `float` > 0.0"),
        ("plugin.machine = { trees = 5 }", "plugin.machine", "the method is `auto`"),
    ],
)
def test_what_is_wrong_is_refused_at_start(site: Path, text: str, path: str, said: str) -> None:
    """File, path and the nearest right name, for the method and for settings of a plug-in; `score` does the same."""
    with pytest.raises(ConfigError) as caught:
        load(write(site, text))
    assert caught.value.path == f"detection.model[0].{path}"
    assert said in str(caught.value)
    config = site / "score.toml"
    config.write_text(f"[scoring]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        read_score_settings(ScoreOptions(source=site, config=config))
    assert caught.value.path == f"scoring.{path}"


def test_what_lacks_something_is_said_by_check(site: Path) -> None:
    """The file is right, and rules would go on; but whoever installs it wants to know."""
    (site / "lower_here.py").write_text(CODE)
    file = write(site, 'method = ["machine", "lower_x", "lost_x"]\n[detector]\n[registry]\n[[gateway]]\nid = "g"')
    result = CliRunner().invoke(main, ["check", str(file)], catch_exceptions=False)
    assert result.exit_code == 0
    first, second = result.output.splitlines()
    assert "right" in first
    assert "the detector lost_x can't judge here, rules go on: " in second
    assert "nothing_like_this" in second
