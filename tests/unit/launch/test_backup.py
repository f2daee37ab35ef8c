"""Rounds of backups, the commands, and a site that goes on from a copy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgemesh.bus.memory import MemoryBroker
from edgemesh.cli import main
from edgemesh.configuration.loading import Configuration, load
from edgemesh.configuration.settings import BackupSettings
from edgemesh.launch import backup
from edgemesh.launch.backup import Backups, make_backups
from edgemesh.launch.plant import Plant, build, journal_file
from edgemesh.log.backup import copies, take_copy
from edgemesh.log.journal import Journal
from edgemesh.model.settings import Seconds
from tests.conftest import Until, WaitFor
from tests.unit.launch.small_plant import FILE, Device
from tests.unit.log.test_opening import append


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def make(folder: Path, journals: dict[str, Path], clock: Clock, **options: object) -> Backups:
    settings = BackupSettings(folder=str(folder), history_every=Seconds(3_600.0))
    return Backups(settings, journals, clock=clock, wall_ns=lambda: 0, **options)  # type: ignore[arg-type]


@pytest.fixture
def journals(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for agent in ("gw1", "recorder"):
        found[agent] = tmp_path / f"{agent}.db"
        with closing(Journal.open(found[agent], agent)) as journal:
            append(journal, 3)
    return found


def numbers(folder: Path, agent: str) -> list[int]:
    return [copy.number for copy in copies(folder, agent)]


def test_each_has_its_rounds(tmp_path: Path, journals: dict[str, Path]) -> None:
    """Agents every 5 minutes, the history every hour here; the newest three stay."""
    clock, folder = Clock(), tmp_path / "copies"
    backups = make(folder, journals, clock, history="recorder")
    end_s = clock.now_s + 3_500
    while clock.now_s < end_s:
        clock.now_s += max(backups.step(), 0.0)
    assert numbers(folder, "gw1") == [12, 11, 10]
    assert numbers(folder, "recorder") == [1]


def test_a_restart_does_not_begin_the_rounds_anew(tmp_path: Path, journals: dict[str, Path]) -> None:
    """The newest copy is young enough: the next one is due when it would have been; a future one counts as new."""
    clock, folder = Clock(), tmp_path / "copies"
    backups = make(folder, journals, clock)
    backups.step()
    backups.step()
    again = make(folder, journals, clock)
    assert again.step() == pytest.approx(300.0)
    assert numbers(folder, "gw1") == [1]


def test_a_budget_makes_them_rare(tmp_path: Path, journals: dict[str, Path]) -> None:
    """Half of what may be written in a day is for copies."""
    clock, folder = Clock(), tmp_path / "copies"
    backups = make(folder, {"gw1": journals["gw1"]}, clock, budget=1_000_000)
    rest_s = backups.step()
    assert rest_s == pytest.approx(copies(folder, "gw1")[0].size * 86_400 / 500_000)
    assert rest_s > 3_600


def test_a_failure_is_said_once_and_tried_again(
    tmp_path: Path, journals: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that is not there for a while costs copies, nothing else."""
    clock, folder = Clock(), tmp_path / "copies"
    folder.write_text("in the way")
    backups = make(folder, {"gw1": journals["gw1"]}, clock)
    for _ in range(3):
        clock.now_s += backups.step()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert backups.notices()["gw1"].notice.startswith("no backup is taken: ")
    folder.unlink()
    backups.step()
    assert numbers(folder, "gw1") == [1]
    assert "backups are taken again" in caplog.text
    assert backups.notices()["gw1"].notice == ""


def test_the_thread_ends_in_the_middle_of_a_copy(
    tmp_path: Path, journals: dict[str, Path], wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopping does not wait for a large copy, and leaves no part of it."""
    monkeypatch.setattr(backup, "BYTES_PER_S", 1.0)  # a step takes an hour
    folder = tmp_path / "copies"
    backups = make(folder, journals, Clock())
    backups.start()
    wait_for(lambda: list(folder.glob("*.part")))
    backups.stop()
    assert "backup" not in {thread.name for thread in threading.enumerate()}
    assert list(folder.iterdir()) == []


def test_a_running_site_is_copied_and_goes_on_from_its_copies(tmp_path: Path, until: Until) -> None:
    """Every agent's log is copied while readings come; cards say when that fails. All agents are put back to their
    copies and start again, each under a new epoch, and readings go all the way again.
    """
    folder = tmp_path / "copies"
    file = write_config(tmp_path, f'\n[backup]\nfolder = "{folder}"\nevery = "20ms"\nhistory_every = "20ms"\n')
    loaded = load(file)

    async def life(device: Device, done: Callable[[Plant], bool]) -> dict[str, str]:
        drivers = {"gateway-1": (("script", device),)}
        broker = MemoryBroker()
        plant = await build(
            Configuration(loaded.file, loaded.settings, drivers),
            connect=lambda client, will: broker.client(client, will=will),
        )
        backups = make_backups(loaded, list(plant.agents))
        assert backups is not None
        for name, notice in backups.notices().items():
            plant.agents[name].storage.heed(notice)
        await plant.start()
        backups.start()
        try:
            await until(lambda: done(plant), 20)
            return {name: agent.engine.journal.epoch for name, agent in plant.agents.items()}
        finally:
            backups.stop()
            await plant.stop()

    def has_copies(plant: Plant) -> bool:
        return all(copies(folder, name) for name in plant.agents) and plant.agents["detector-1"].engine.journal.head > 0

    def says_so(plant: Plant) -> bool:
        return plant.agents["scheduler"].storage.notice.startswith("no backup is taken: ")

    before = asyncio.run(life(Device(healthy=20), has_copies))
    for name in before:
        assert call("restore", name, file)[0] == 0
    folder.rename(tmp_path / "gone")
    folder.write_text("in the way")
    after = asyncio.run(
        life(Device(), lambda plant: says_so(plant) and plant.agents["recorder"].engine.stats.readings > 50)
    )
    assert all(before[name] != after[name] for name in before)


def write_config(folder: Path, section: str) -> Path:
    file = folder / "plant.toml"
    file.write_text(FILE.format(data=folder / "data") + section)
    return file


def call(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(main, ["backup", *map(str, words)])
    return found.exit_code, found.output


def test_a_person_sees_proves_and_restores(tmp_path: Path) -> None:
    """List, verify and restore by name; what is missing or bad is said, with the exit status."""
    folder = tmp_path / "copies"
    file = write_config(tmp_path, f'\n[backup]\nfolder = "{folder}"\n')
    data = tmp_path / "data"
    agents = ("gateway-1", "detector-1", "scheduler", "recorder", "registry")
    status, text = call("list", file)
    assert status == 1
    assert text.count("has no copy") == len(agents)
    for agent in agents:
        with closing(Journal.open(journal_file(data, agent), agent)) as journal:
            append(journal, 2)
            epoch = journal.epoch
            take_copy(journal.path, folder, agent, keep=3, rest=lambda copied: None)
    assert call("verify", file)[0] == 0
    copies(folder, "registry")[0].file.write_bytes(b"x" * 5_000)
    status, text = call("verify", file)
    assert status == 1
    assert "registry                 has no sound copy" in text
    status, text = call("restore", "recorder", file)
    assert status == 0
    assert "copy 1 is in place" in text
    with closing(Journal.open(journal_file(data, "recorder"), "recorder")) as journal:
        assert journal.epoch != epoch
        assert journal.head == 2
    assert call("restore", "nobody", file)[0] == 2
    status, text = call("restore", "scheduler", file, "--number", "9")
    assert status == 2
    assert "there are 1" in text


def test_without_a_folder_it_says_what_to_write(tmp_path: Path) -> None:
    """The section is missing: which, where, and what would be right."""
    status, text = call("list", write_config(tmp_path, ""))
    assert status == 2
    assert 'backup: is missing ([backup] folder = "…"' in text
