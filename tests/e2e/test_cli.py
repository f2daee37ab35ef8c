"""The command line: what each command says, and its exit status for what a person can do wrong."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import edgemesh
from edgemesh.cli import main
from edgemesh.detect.methods import detectors
from edgemesh.drivers.registry import installed
from tests.e2e.command import call, without

ROOT = Path(__file__).parents[2]
COMMANDS = list(main.commands)


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_that_are_promised() -> None:
    """What the documentation names is there."""
    assert {"demo", "run", "check", "replay", "top", "tap", "prove", "score", "plugins", "version"} <= set(COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str) -> None:
    """Every command explains itself: a sentence, its usage, each option with words; nothing wider than 100 columns."""
    result = invoke(*filter(None, [command]), "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage:")
    assert max(map(len, result.output.splitlines())) <= 100
    for option in (main.commands[command] if command else main).params:
        assert not isinstance(option, click.Option) or option.help, f"{option.name} says nothing"


def test_version() -> None:
    """The version, Python's, and the extras that are there; --version says the first too."""
    result = invoke("version")
    assert (result.exit_code, result.output.splitlines()[0].split(",")[0]) == (0, f"edgemesh {edgemesh.__version__}")
    assert "extras: " in result.output
    assert edgemesh.__version__ in invoke("--version").output


def test_plugins() -> None:
    """One line per installed driver and detector, with module and distribution."""
    result = invoke("plugins")
    assert result.exit_code == 0
    for what, found in (("driver", installed()), ("detector", detectors.installed())):
        for plugin in found:
            assert re.search(rf"{what}\s+{plugin.name}\s+{plugin.module}\s+{plugin.distribution} ", result.output)
    assert {"host", "mqtt_json", "replay"} <= {plugin.name for plugin in installed()}
    assert "half_space_trees" in {plugin.name for plugin in detectors.installed()}


def test_check_says_what_would_run() -> None:
    """A right file: site, broker without password, agents; several files at once."""
    result = CliRunner().invoke(
        main,
        ["check", *(str(ROOT / "configs" / name) for name in ("demo.toml", "gateway.toml"))],
        env={"EDGEMESH_MQTT_PASSWORD": "very-secret", "EDGEMESH_BROKER": "broker.local"},
    )
    assert result.exit_code == 0, result.output
    first, second = [line for line in result.output.splitlines() if "right" in line]
    assert "broker embedded" in first
    assert "detector-2" in first
    assert "mqtt://gateway@broker.local:1883" in second
    assert "very-secret" not in result.output


@pytest.mark.parametrize(
    "command", [["check"], ["run"], ["top"], ["tap"], ["demo", "--config"], ["replay", ".", "--config"]]
)
@pytest.mark.parametrize(
    ("text", "said"),
    [("[site\n", "line 1"), ('[site]\nid = "s"\n[recoder]\n', "did you mean `recorder`?"), (None, "no such file")],
    ids=["toml", "key", "missing"],
)
def test_a_wrong_configuration_is_status_2(here: Path, command: list[str], text: str | None, said: str) -> None:
    """One line on standard error with file and place, no trace, nothing on standard output, nothing left behind."""
    file = here / "my.toml"
    if text is not None:
        file.write_text(text)
    result = invoke(*command, file)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("edgemesh: ")
    assert str(file) in result.stderr
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert [each.name for each in here.iterdir()] == ([] if text is None else ["my.toml"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "nowhere"], "no such file or folder"),
        (["replay", "full"], "no *.csv in this folder"),
        (["replay", "empty.csv"], "empty.csv"),
        (["replay", "binary.csv"], "binary.csv"),
        (["replay", "notime.csv"], "notime.csv"),
        (["replay", "notime.csv", "--speed", "0"], "neither a positive number nor `max`"),
        (["replay", "notime.csv", "--speed", "nan"], "neither a positive number nor `max`"),
        (["run", "host.toml", "--role", "boss"], "`boss` is no role"),
        (["run", "host.toml", "--role", "detector"], "names no agent to run"),
        (["check", "driver.toml"], "did you mean 'replay'?"),
        (["run", "none.toml"], "names no agent to run"),
        (["top", "host.toml"], "no embedded broker"),
        (["tap", "host.toml", "--for", "1"], "no embedded broker"),
        (["top", "host.toml", "--broker", "mqtt://127.0.0.1:1"], "no broker answers at mqtt://127.0.0.1:1"),
        (["tap", "host.toml", "--broker", "nonsense"], "mqtt://"),
        (["demo", "--for", "0"], "--for"),
        (["demo", "--broker", "nonsense"], "site.broker"),
        (["demo", "--data", "full"], "holds something else than a demo"),
        (["nonsense"], "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_a_person_can_mend_is_status_2(here: Path, arguments: list[str], said: str) -> None:
    """A wrong call, a missing folder, an unreadable recording, an absent broker: one clear line and status 2."""
    (here / "full").mkdir()
    (here / "full" / "thesis.txt").write_text("mine")
    (here / "empty.csv").write_text("")
    (here / "binary.csv").write_bytes(bytes(range(256)) * 20)
    (here / "notime.csv").write_text("a,b\nx,1\ny,2\n")
    (here / "host.toml").write_text('[site]\nid = "s"\n[[gateway]]\nid = "g"\n[[gateway.driver]]\ntype = "host"\n')
    (here / "none.toml").write_text('[site]\nid = "s"\n')
    (here / "driver.toml").write_text('[site]\nid = "s"\n[[gateway]]\nid = "g"\n[[gateway.driver]]\ntype = "reply"\n')
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert (here / "full" / "thesis.txt").read_text() == "mine"


def test_a_port_in_use_is_status_2(here: Path) -> None:
    """The page's port or the broker's: which one, and what to do about it; nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        page = call("demo", "--port", str(port), "--for", "5", "--data", "demo", cwd=here)
        (here / "my.toml").write_text(f'[site]\nid = "s"\nport = {port}\n[recorder]\n')
        broker = call("run", "my.toml", cwd=here)
    for result in (page, broker):
        assert result.returncode == 2, result.stderr
        assert str(port) in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("numpy", ["run", "detector.toml"], "detector"),
        ("sklearn", ["run", "detector.toml"], "detector"),
        ("aiohttp", ["demo", "--port", "0", "--for", "5"], "console"),
    ],
)
def test_a_missing_extra_is_named(here: Path, module: str, arguments: list[str], extra: str) -> None:
    """Where a module of an extra is not installed, the line says what to install."""
    (here / "detector.toml").write_text('[site]\nid = "s"\n[detector]\n[registry]\n[[detection.model]]\n')
    result = without(module, *arguments, cwd=here)
    assert result.returncode == 2, result.stderr
    assert f"pip install 'edgemesh[{extra}]'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("module", ["numpy", "sklearn", "aiohttp", "rich", "amqtt", "influxdb_client", "aiomqtt"])
def test_a_gateway_needs_no_extra(here: Path, module: str) -> None:
    """What runs on a Pi is checked without any of the heavy modules."""
    result = without(module, "check", ROOT / "configs" / "gateway.toml", cwd=here)
    assert result.returncode == 0, result.stderr


def test_tap_shows_the_quarantine(here: Path) -> None:
    """Nothing refused: it says so. Something: counts by reason, and the newest with origin and bytes."""
    from edgemesh.log.journal import Journal
    from edgemesh.log.quarantine import Quarantined

    (here / "my.toml").write_text('[site]\nid = "s"\n[[gateway]]\nid = "g"\n')
    assert invoke("tap", "my.toml", "--quarantine").output == "nothing was refused\n"
    journal = Journal.open(here / "data" / "agents" / "g.db", "g")
    with journal.begin() as transaction:
        for number in range(30):
            transaction.keep(Quarantined(number, "hall/p1", "not_json", "cut off", b'{"a'))
        transaction.keep(Quarantined(10**18, "hall/p2", "bad_id", "a name with +", b"\x00\xff"))
    journal.close()
    lines = invoke("tap", "my.toml", "--quarantine").output.splitlines()
    assert lines[0] == "g: 1 bad_id, 30 not_json"
    assert len(lines) == 21
    assert re.search(r"2001-09-09 01:46:40Z  bad_id +hall/p2  a name with \+  b'\\x00\\xff'", lines[1])
    assert len(invoke("tap", "my.toml", "--quarantine", "--count", "3").output.splitlines()) == 4


def test_score_says_a_line_for_each_row(here: Path) -> None:
    """A step after a calm start is flagged; what was calm is not; `--scores` says how strange each row is."""
    rows = [
        f"2026-01-01 00:{n // 60:02}:{n % 60:02};{n % 7};{20 + (n % 5) + (60 if n > 560 else 0)}" for n in range(600)
    ]
    file = here / "rows.csv"
    file.write_text("\n".join(["datetime;Current;Pressure", *rows]) + "\n")
    flags = invoke("score", file).output.split()
    assert len(flags) == len(rows)
    assert set(flags[:550]) == {"0"}
    assert "1" in flags[561:]
    scores = [float(line) for line in invoke("score", file, "--scores").output.split()]
    assert max(scores[561:]) > max(scores[:560])
