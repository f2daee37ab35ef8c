"""Online backups: a thread copies the journals of this process's agents, one after the other, a little at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgemesh.configuration.loading import Configuration
from edgemesh.configuration.settings import BackupSettings
from edgemesh.errors import ConfigError, InputError, LogError
from edgemesh.launch.lines import duration_text
from edgemesh.launch.plant import journal_file
from edgemesh.log.backup import Copy, copies, prove, put_back, take_copy
from edgemesh.log.rounds import interval_s
from edgemesh.store.contract import Noticing

logger = logging.getLogger(__name__)

BYTES_PER_S = 20e6
"""A copy goes no faster, so that it leaves the disk to the agents."""
STOP_S = 2.0
RETRY_S = 60.0
"""After a copy that failed the next one is tried so much later."""


class _Stopped(Exception):
    """The agents end; the copy that is under way is given up."""


@dataclass(slots=True)
class _Journal:
    """One journal and when its next copy is due, on the monotonic clock; `failing`: why there is none."""

    agent: str
    file: Path
    every_s: float
    due_s: float
    failing: str = ""

    @property
    def notice(self) -> str:
        """For the agent's card; empty: all is well."""
        return f"no backup is taken: {self.failing}" if self.failing else ""


class Backups:
    """Copies `journals` (by agent) into the folder of the settings; `history` is the agent that keeps the history.

    `budget`: bytes a day that may be written (None: any). `step` may be called by one thread; `start` makes one.
    """

    def __init__(
        self,
        settings: BackupSettings,
        journals: Mapping[str, Path],
        *,
        history: str | None = None,
        budget: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._folder, self._keep, self._budget, self._clock = Path(settings.folder), settings.keep, budget, clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._journals = [
            _Journal(agent, file, every_s, clock() + self._rest_s(agent, every_s, wall_ns()))
            for agent, file in journals.items()
            for every_s in (settings.history_every if agent == history else settings.every,)
        ]

    def notices(self) -> dict[str, Noticing]:
        """By agent, what its card is to say of its backups."""
        return {journal.agent: journal for journal in self._journals}

    def start(self) -> None:
        """Begin to copy."""
        self._thread = threading.Thread(target=self._run, name="backup", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a copy that is under way is given up. One that is being proved is not waited for longer than 2 s."""
        self._stop.set()
        if self._thread:
            self._thread.join(STOP_S)

    def step(self) -> float:
        """Copy the journal that has been due for longest, if one is; return the seconds until the next is due."""
        if not self._journals:
            return RETRY_S
        journal = min(self._journals, key=lambda each: each.due_s)
        if journal.due_s <= self._clock():
            self._copy(journal)
        return max(0.0, min(each.due_s for each in self._journals) - self._clock())

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._stop.wait(self.step())
            except _Stopped:
                return
            except Exception:
                logger.exception("backups failed, going on")
                self._stop.wait(RETRY_S)

    def _copy(self, journal: _Journal) -> None:
        begun_s = self._clock()
        try:
            copy = take_copy(journal.file, self._folder, journal.agent, keep=self._keep, rest=self._rest)
        except LogError as error:
            if str(error) != journal.failing:
                logger.error("%s: no backup: %s", journal.agent, error)
            journal.failing = str(error)
            journal.due_s = self._clock() + min(RETRY_S, journal.every_s)
            return
        if journal.failing:
            logger.warning("%s: backups are taken again", journal.agent)
        journal.failing = ""
        journal.due_s = begun_s + interval_s(journal.every_s, copy.size, self._budget)
        logger.debug("%s: backup %s, %.1f MB", journal.agent, copy.file.name, copy.size / 1e6)

    def _rest(self, copied: int) -> None:
        if self._stop.wait(copied / BYTES_PER_S):
            raise _Stopped

    def _rest_s(self, agent: str, every_s: float, now_ns: int) -> float:
        """How long after the start the first copy is due: as long as the newest one is young enough."""
        try:
            newest = next(iter(copies(self._folder, agent)), None)
        except LogError:
            return 0.0
        age_s = (now_ns - newest.at_ns) / 1e9 if newest else every_s
        return min(every_s, max(0.0, every_s - age_s))


def make_backups(configuration: Configuration, names: list[str]) -> Backups | None:
    """The backups of these agents; None where the configuration has no `[backup]`."""
    settings = configuration.settings
    if settings.backup is None or not names:
        return None
    return Backups(
        settings.backup,
        {name: journal_file(configuration.data, name) for name in names},
        history=settings.recorder.agent if settings.recorder else None,
        budget=settings.outbox.write_budget,
    )


# -- for people ------------------------------------------------------------------------------------------------------


def backup_folder(configuration: Configuration, given: Path | None) -> Path:
    """Where the copies are. ConfigError where nobody says."""
    if given is not None:
        return given
    backup = configuration.settings.backup
    if backup is None:
        wish = '[backup] folder = "…" begins them; --folder names another'
        raise ConfigError("is missing", file=str(configuration.file), path="backup", wish=wish)
    return Path(backup.folder)


def backup_lines(configuration: Configuration, folder: Path, *, proving: bool, now_ns: int) -> tuple[list[str], bool]:
    """A line for each copy of each agent, newest first, and whether every agent has a good one.

    With `proving` each copy is read through.
    """
    lines, good = [], True
    for _, agent in configuration.settings.agents():
        found = copies(folder, agent)
        sound = 0
        for copy in found:
            verdict = _verdict(copy) if proving else ""
            sound += not verdict
            lines.append(f"{_line(copy, now_ns)}{'  ' + (verdict or 'sound') if proving else ''}")
        if not sound:
            lines.append(f"{agent:<24} has no {'sound ' if found else ''}copy")
            good = False
    return lines, good


def _line(copy: Copy, now_ns: int) -> str:
    when = datetime.fromtimestamp(copy.at_ns / 1e9, UTC)
    age = duration_text(max(0.0, (now_ns - copy.at_ns) / 1e9))
    return f"{copy.agent:<24} {copy.number:>6}  {when:%Y-%m-%d %H:%M:%S}Z  {copy.size / 1e6:>9.2f} MB  {age:>7} old"


def _verdict(copy: Copy) -> str:
    try:
        prove(copy.file, copy.agent, rows=True)
    except LogError as error:
        return f"no good: {error}"
    return ""


def restore(configuration: Configuration, folder: Path, agent: str, number: int | None) -> list[str]:
    """Put a copy of an agent's log back (None: the newest), and say what was done. InputError: there is none."""
    names = [name for _, name in configuration.settings.agents()]
    if agent not in names:
        raise InputError(f"has no agent `{agent}`", source=str(configuration.file), wish=f"it has {', '.join(names)}")
    found = copies(folder, agent)
    chosen = next((copy for copy in found if number in (None, copy.number)), None)
    if chosen is None:
        wish = f"there are {', '.join(str(copy.number) for copy in found)}" if found else "`edgemesh backup list`"
        raise InputError(f"there is no such copy of `{agent}`", source=str(folder), wish=wish)
    journal = journal_file(configuration.data, agent)
    aside = put_back(chosen.file, journal, agent)
    lines = [f"{agent}: copy {chosen.number} is in place as {journal}"]
    if aside is not None:
        lines.append(f"the former file is {aside}; delete it once all is well")
    lines.append("when the agent starts it says that its log is an older copy, and goes on under a new epoch")
    return lines
