"""What the proof leaves behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from edgemesh.prove import show
from edgemesh.prove.faults import FAULTS
from edgemesh.prove.stand import StuckError


@pytest.mark.parametrize(("end", "stays"), [(StuckError("logs are in"), True), (KeyboardInterrupt(), False)])
def test_the_logs_of_a_trial_that_got_stuck_stay(
    end: BaseException, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says where they are; otherwise nothing stays behind."""

    def fail(_: object, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "log").touch()
        raise end

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(show, "_trial", fail)
    plan = show.Plan(faults=FAULTS[:1], drills=(), broker="mosquitto", kills=1, readings=1, rate=1.0, seed=1)
    with pytest.raises(type(end)):
        show.play(plan, None)
    assert bool(list(tmp_path.rglob("log"))) == stays
