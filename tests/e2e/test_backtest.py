"""`edgemesh backtest` and `edgemesh why` as a person runs them, held against a live replay of the same file."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemesh.backtest.run import BacktestOptions, backtest
from edgemesh.model.alerts import Alert
from edgemesh.store.history import History
from tests.e2e.command import call, without
from tests.e2e.test_replay import _skab

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "skab.toml"
SKAB = Path(os.environ.get("EDGEMESH_DATA", ROOT.parent / "shared" / "data")) / "skab" / "valve1" / "1.csv"
TIMES = ("id", "asset", "kind", "onset_at_ns", "raised_at_ns", "cleared_at_ns", "cause", "model")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording that was replayed by the agents, and what they kept."""
    folder = tmp_path_factory.mktemp("backtest")
    (folder / "in").mkdir()
    _skab(folder / "in" / "1.csv")
    done = call("replay", "in", "--json", "--keep", "kept", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "replay.json").write_text(done.stdout)
    return folder


def _live(here: Path) -> list[Alert]:
    with History(here / "kept" / "agents" / "recorder.db") as history:
        return sorted(history.alerts(), key=lambda alert: alert.raised_at_ns)


def _facts(alerts: Any) -> list[tuple[object, ...]]:
    return [tuple(str(getattr(alert, name)) for name in TIMES) for alert in alerts]


def test_a_backtest_says_what_the_live_agents_said(here: Path) -> None:
    """The same ids, times, causes and figures as the replay through broker and logs gave; and from its history, too."""
    live = _live(here)
    assert live
    replayed = msgspec.json.decode((here / "replay.json").read_bytes())
    report = backtest(BacktestOptions(config=CONFIG, data=here / "in"))[0].report
    assert _facts(report.alerts) == _facts(live)
    assert report.total == replayed["total"]
    again = backtest(BacktestOptions(config=CONFIG, data=here / "kept"))[0].report
    assert _facts(again.alerts) == _facts(live)


@pytest.mark.skipif(not SKAB.exists(), reason="needs ../shared/data or EDGEMESH_DATA")
def test_skab_as_a_live_replay_scores_it(tmp_path: Path) -> None:
    """On a recording of a real rig a replay through the broker and a backtest agree on every alert and every rate."""
    done = call("replay", SKAB, "--json", "--keep", "kept", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = backtest(BacktestOptions(config=CONFIG, data=SKAB))[0].report
    assert _facts(report.alerts) == _facts(_live(tmp_path))
    assert report.total == msgspec.json.decode(done.stdout)["total"]


def test_the_commands_answer(here: Path) -> None:
    """One JSON object with both reports and a picture from backtest; the chain as text and as JSON from why."""
    done = call("backtest", CONFIG, "in", "--against", CONFIG, "--json", "--picture", "a.svg", cwd=here, timeout_s=120)
    assert done.returncode == 0, done.stderr
    answer = msgspec.json.decode(done.stdout)
    assert answer["comparison"]["only_here"] == answer["comparison"]["only_there"] == []
    assert len(answer["comparison"]["both"]) == len(answer["report"]["alerts"]) > 0
    assert ET.parse(here / "a.svg").getroot().get("role") == "img"
    alert = answer["report"]["alerts"][0]["id"]
    told = call("why", alert[:6], "kept", cwd=here)
    assert told.returncode == 0, told.stderr
    assert alert in told.stdout
    assert "\x1b" not in told.stdout
    chain = msgspec.json.decode(call("why", alert, "kept", "--json", cwd=here).stdout)
    assert chain["steps"][0]["what"] == "reading"
    assert len(chain["sensors"][0]["curve"]) > 10


def test_mistakes_are_said_in_a_line(here: Path) -> None:
    """Exit status 2 and one line that names what is wrong; nothing on standard output."""
    for arguments, says in (
        (("backtest", CONFIG, "nowhere"), "no such file or folder"),
        (("backtest", "nowhere.toml", "in"), "nowhere.toml"),
        (("backtest", CONFIG, "in", "--from", "2031-01-01"), "nothing lies in this range"),
        (("backtest", CONFIG, "in", "--from", "soon"), "is no time"),
        (("backtest", CONFIG, "in", "--picture", "a.gif"), "end its name in .svg or .png"),
        (("why", "ffffffff", "kept"), "no alert begins like this"),
        (("why", "last", "nowhere"), "there is no history here"),
    ):
        done = call(*arguments, cwd=here)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_png_without_its_extra_names_it(here: Path) -> None:
    """Said before anything is played."""
    done = without("resvg_py", "backtest", CONFIG, "in", "--picture", "a.png", cwd=here)
    assert done.returncode == 2
    assert "edgemesh[picture]" in done.stderr
