"""`edgemesh why`: finding the alert, and what is said when it can't be found."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemesh.errors import ConfigError, InputError
from edgemesh.launch.why import find_history, lines_of, why
from edgemesh.model.alerts import Alert
from edgemesh.testing import make_alert, make_pack
from tests.unit.backtest.small_data import write_config, write_history

IDS = ("ab12" + "0" * 28, "ab13" + "0" * 28, "c0ff" + "0" * 28)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    alerts = [
        msgspec.structs.replace(make_alert(onset_s=10.0 * k, at_s=10.0 * k, asset=f"pump-{k}"), id=id_)
        for k, id_ in enumerate(IDS)
    ]
    return write_history(tmp_path / "kept" / "agents" / "recorder.db", [make_pack(alerts, agent="detector-1")])


def test_the_beginning_of_an_id_is_enough(history: Path) -> None:
    """So much of it as only one alert has; capitals and dashes do not matter, `last` is the newest."""
    assert why("c", history).id == IDS[2]
    assert why("AB-12", history).id == IDS[0]
    assert why("last", history).asset == "pump-2"


def test_an_ambiguous_beginning_names_those_it_fits(history: Path) -> None:
    """With enough of each id to tell them apart."""
    with pytest.raises(InputError) as refused:
        why("ab1", history)
    assert "2 alerts begin like this" in str(refused.value)
    assert "ab120000 pump-0" in str(refused.value)
    assert "ab130000 pump-1" in str(refused.value)


@pytest.mark.parametrize("id_", ["ab14", "nonsense", "", "%", "' OR 1=1 --"])
def test_an_unknown_id_names_what_is_near(history: Path, id_: str) -> None:
    """A typing error finds the alerts that look alike; what is no id at all gets the latest ones."""
    with pytest.raises(InputError, match="no alert begins like this") as refused:
        why(id_, history)
    assert ("near: ab1" if id_ == "ab14" else "the latest: c0ff") in str(refused.value)


def test_a_history_without_alerts_says_so(tmp_path: Path) -> None:
    """Neither `last` nor any id is there yet."""
    empty = write_history(tmp_path / "recorder.db", [])
    for id_ in ("last", "ab"):
        with pytest.raises(InputError, match="holds no alert yet"):
            why(id_, empty)


def test_where_the_history_lies(history: Path, tmp_path: Path) -> None:
    """A file, a data folder, or the configuration's; what is not there, or is something else, is said."""
    config = write_config(tmp_path / "site.toml")
    assert find_history(history) == history
    assert find_history(tmp_path / "kept") == history
    with pytest.raises(InputError, match="there is no history here"):
        find_history(config)
    bare = tmp_path / "bare.toml"
    bare.write_text('[site]\nid = "small"\n')
    with pytest.raises(ConfigError, match="recorder"):
        find_history(bare)
    (tmp_path / "text.db").write_text("no database")
    with pytest.raises(InputError, match="no history of edgemesh"):
        why("last", tmp_path / "text.db")


def test_lines_steer_no_terminal(tmp_path: Path) -> None:
    """What a peer wrote into a cause is shown without its control characters."""
    alert: Alert = msgspec.structs.replace(make_alert(), cause="hot\x1b[2J\x07 bearing\u202e")
    file = write_history(tmp_path / "recorder.db", [make_pack([alert], agent="detector-1")])
    text = "\n".join(lines_of(why("last", file)))
    assert "hot [2J bearing" in text
    assert not {"\x1b[2J", "\x07", "\u202e"} & {text[k : k + n] for n in (1, 4) for k in range(len(text))}
    assert "no work order came of it" in text
    assert "its readings of that time are not in the history" in text
