"""Programs that are broken on purpose: every guard can be left off, every point can be failed at, and by name only."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edgemesh.agents.clock import SystemClock
from edgemesh.agents.engine import Engine
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.items import Offered
from edgemesh.errors import InputError, LogError
from edgemesh.log.journal import Journal
from edgemesh.model.samples import Sample, Source
from edgemesh.prove import guards, points

SOURCE = Source("d", "a", ("x",), ("1",))


def broken(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgemesh.prove.broken", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("module", ["edgemesh", "firmware_sim"])
def test_everything_can_be_left_off(module: str) -> None:
    """What a guard or a point patches is there, in either program; the program runs on as ever."""
    without = [f"--without={name}" for name in guards.GUARDS]
    fail = [f"--fail={name}:1000:kill" for name in points.POINTS]
    done = broken(*without, *fail, module, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.parametrize(
    "switch", ["--without=cursors", "--fail=commit.before:1:burn", "--fail=here:1:kill", "--fail=commit.before:0:kill"]
)
def test_unknown_switches(switch: str) -> None:
    """What there is not is refused with the list of what there is, before anything runs."""
    done = broken(switch, "edgemesh", "version")
    assert done.returncode == 2
    assert "one of" in done.stderr or "counting from 1" in done.stderr


def test_a_program_kills_itself() -> None:
    """The action `kill` is the signal, not an exit."""
    script = "from edgemesh.prove import points; points.ACTIONS['kill']()"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9


@pytest.mark.parametrize(
    ("point", "kept"),
    [("effect.before", 0), ("effect.before-cursor", 0), ("commit.before", 0), ("commit.after", 1)],
)
def test_where_the_points_are(point: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the commit nothing of a step is kept, after it all; steps without an effect pass no point."""
    for name in ("_write", "_place", "_commit"):
        monkeypatch.setattr(Engine, name, getattr(Engine, name))
    journal = Journal.open(tmp_path / "g.db", "g")
    engine = Engine(journal, GatewayCore, SystemClock(), writes="readings")
    points.arm(points.read(f"{point}:1:raise"), "edgemesh")
    engine.step([])
    with pytest.raises((LogError, sqlite3.OperationalError)):
        engine.step([Offered([Sample(SOURCE, 1, (0.0,))])])
    assert len(journal.rows(0, limit=9, max_bytes=10**6)) == kept
    journal.close()


def test_a_name_is_checked() -> None:
    """The command line refuses a guard that there is not, with the list."""
    with pytest.raises(InputError, match="watermark, resend"):
        guards.refuse_unknown(["watermarks"])
