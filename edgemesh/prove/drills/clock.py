"""Clocks that jump, that start in 1970, that drift, and that are put right for good, by libfaketime."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgemesh.drivers.count.ledger import read_ledger, steady_ns
from edgemesh.errors import EdgemeshError, LogError
from edgemesh.launch.plant import journal_file
from edgemesh.log.journal import Journal
from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.faults import Victim
from edgemesh.prove.site import DEVICES
from edgemesh.prove.stand import Stand
from edgemesh.store.history import History

PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
HOUR_S = 3600.0
Y2038_S = 2_147_483_648.0
RIGHT_S = 1.0
"""A reading whose time is off by less is right."""
SILENT_S = 15.0
CALM_S = 0.5
LEAP_S = 0.25
DOUBT_S = 3.0
_SILENCE = f"""
[[detection.rule]]
kind = "silent"
name = "silent"
after = "{SILENT_S:.0f}s"
"""


class NoFaketime(EdgemeshError):
    """libfaketime is not installed."""


def find_faketime() -> Path:
    """The library that fakes clocks. NoFaketime, with a hint, where there is none."""
    found = (file for place in PLACES for file in sorted(Path(place).glob("**/faketime/libfaketime.so.1")))
    library = next(found, None)
    if library is None:
        raise NoFaketime("needs libfaketime; install it (Debian: apt install faketime)")
    return library


@dataclass(slots=True)
class Clocks:
    """The wall clocks of a stand's programs, each a file that libfaketime reads; the monotonic ones stay as they are.

    `began`: what the site had before the first of them was set.
    """

    stand: Stand
    files: dict[str, Path] = field(default_factory=dict)

    def fake(self, names: Sequence[str], off_s: float = 0.0) -> None:
        """Have the next start of these programs see a clock that can be set."""
        library = find_faketime()
        for name in names:
            self.files[name] = self.stand.site.folder / f"clock-{name}"
            self.stand.site.programs[name].environment |= {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(self.files[name]),
                "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # it would bend every wait for Python's own lock
                "NO_FAKE_STAT": "1",
            }
        self.set(names, off_s)

    def set(self, names: Sequence[str], off_s: float) -> None:
        """Set clocks so far from the truth."""
        for name in names:
            fresh = self.files[name].with_suffix(".new")
            fresh.write_text(f"{off_s:+.6f}\n")
            fresh.replace(self.files[name])  # nobody may read half a number


def everybody(stand: Stand) -> list[str]:
    """All agents of the site."""
    others = ("broker", "crew", "registry")
    return [name for name in stand.site.programs if name not in others]


# -- what must hold ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Times:
    """How far the readings of the history are from the truth.

    `worst_s` over all readings put after `since_ns`, `wrong` those of them that are off by more than a second,
    `misplaced` minutes whose roll-up is not that of their readings.
    """

    worst_s: float = 0.0
    wrong: int = 0
    misplaced: int = 0


def true_times(ledger: Path) -> dict[int, tuple[int, int]]:
    """By sample, from when to when it was put: UTC in ns, told from the clock that nobody sets."""
    offset_ns = time.time_ns() - steady_ns()
    times: dict[int, tuple[int, int]] = {}
    for span in read_ledger(ledger):
        at_ns = span.steady_ns + offset_ns
        for sample in range(span.first, span.first + span.size):
            times[sample] = (times[sample][0], at_ns) if span.accepted else (at_ns, at_ns)
    return times


def compare_times(stand: Stand, since_ns: int = 0) -> Times:
    """Hold each reading's time in the history against the truth, and the roll-ups against the readings."""
    times = Times()
    with History(journal_file(stand.site.folder / "data", "recorder")) as history:
        for gateway in stand.site.gateways:
            true = true_times(stand.site.folder / "ledgers" / gateway)
            for device in range(DEVICES):
                _compare(history, f"{gateway}-{device}", device, true, since_ns, times)
    return times


def _compare(
    history: History, name: str, device: int, true: Mapping[int, tuple[int, int]], since_ns: int, times: Times
) -> None:
    curve = history.readings(device=name, metric="count", resolution="raw", max_points=None)
    for point in curve.points:
        from_ns, until_ns = true.get(round(point.last) * DEVICES + device, (0, 0))
        if from_ns >= since_ns:
            off_s = max(from_ns - point.at_ns, point.at_ns - until_ns, 0) / 1e9
            times.worst_s = max(times.worst_s, off_s)
            times.wrong += off_s > RIGHT_S
    minutes = history.readings(device=name, metric="count", resolution="1min", max_points=None)
    rolled = {point.at_ns // 60_000_000_000: point.n for point in minutes.points}
    grouped = itertools.groupby(sorted(point.at_ns // 60_000_000_000 for point in curve.points))
    raw = {minute: len(list(group)) for minute, group in grouped}
    times.misplaced += len(rolled.items() ^ raw.items())


def judge(stand: Stand, *, since_ns: int = 0) -> tuple[list[str], dict[str, Figure]]:
    """What did not hold, and the figures."""
    verdict, times = stand.verdict(), compare_times(stand, since_ns)
    with History(journal_file(stand.site.folder / "data", "recorder")) as history:
        counts = history.counts()
        late = sum("in time" in order.note for each in history.orders() for order in history.order_versions(each.id))
    false = verdict.alerts["unexplained"]
    problems = {
        f"{false} false alerts": false,
        f"{late} orders timed out": late,
        f"{counts.untimed} readings without a time": counts.untimed,
        f"{times.wrong} readings at a wrong time, by up to {times.worst_s:.1f} s": times.wrong,
        f"{times.misplaced} minutes with a wrong roll-up": times.misplaced,
    }
    figures: dict[str, Figure] = {
        "lost": verdict.readings["lost"] + verdict.alerts["lost"] + verdict.orders["lost"],
        "doubled": verdict.readings["doubled"] + verdict.alerts["doubled"] + verdict.orders["started_twice"],
        "false_alerts": false,
        "worst_time_error_s": round(times.worst_s, 3),
        "retimed": counts.retimed,
        "timed_out": late,
        "readings": verdict.readings["accepted"],
        "alerts": verdict.alerts["expected"],
        "orders": verdict.orders["opened"],
    }
    return [*broken_by(verdict), *(said for said, count in problems.items() if count)], figures


async def finish(stand: Stand, ground: Ground) -> None:
    """Bring the site to rest, with every reading at its time.

    Devices that are at rest are silent, and rightly found so: before that the detectors are ended.
    """
    ground.say("coming to rest")
    stand.site.enough()
    began_s = calm_s = time.monotonic()
    while (now_s := time.monotonic()) - calm_s < CALM_S and now_s - began_s < SILENT_S:
        with contextlib.suppress(LogError):  # a file that is just being pruned
            if await asyncio.to_thread(_unfinished, stand):
                calm_s = time.monotonic()
        await asyncio.sleep(0.1)
    await asyncio.gather(*(stand.site.programs[name].stop() for name in stand.site.detectors))
    await stand.rest()


def _unfinished(stand: Stand) -> int:
    """How much is still under way: rows that somebody has not read, alerts that fire, readings without a time."""
    site = stand.site
    writers = [*site.gateways, *site.detectors]
    journals = {name: _peek(stand, name) for name in (*writers, "scheduler", "recorder")}
    behind = 0
    for writer in writers:
        readers: Sequence[str] = site.detectors if writer in site.gateways else ("scheduler",)
        for group in (readers, ("recorder",)):
            behind += journals[writer][0] - max(journals[name][1].get(writer, 0) for name in group)
    with History(journal_file(site.folder / "data", "recorder")) as history:
        counts = history.counts()
    return behind + counts.alerts.get("firing", 0) + counts.untimed


def _peek(stand: Stand, name: str) -> tuple[int, dict[str, int]]:
    """The last row of an agent's log, and how far it has read those of others."""
    journal = Journal.peek(journal_file(stand.site.folder / "data", name))
    try:
        return journal.head, {writer: cursor.through for writer, cursor in journal.cursors().items()}
    finally:
        journal.close()


def owners_epoch(stand: Stand) -> int:
    """The number of the map of owners: it rises when a gateway changes hands."""
    journal = Journal.peek(journal_file(stand.site.folder / "data", "registry"))
    try:
        part = journal.parts().get("owners")
        return int(msgspec.json.decode(part)["owners"]["epoch"]) if part else 0
    finally:
        journal.close()


def lay_out_stand(ground: Ground) -> Stand:
    """A site that looks for silent devices."""
    return ground.stand(extra=_SILENCE, rate=300.0)


# -- the drills --------------------------------------------------------------------------------------------------------


async def jump(ground: Ground) -> Finding:
    """Set the clock of one agent after the other, and back."""
    stand = lay_out_stand(ground)
    clocks, detectors = Clocks(stand), list(stand.site.detectors)
    clocks.fake(everybody(stand))
    to_2038_s = Y2038_S - time.time()
    jumps = [(["gateway-1"], HOUR_S), (detectors, HOUR_S), (["scheduler"], HOUR_S), (["recorder"], to_2038_s)]
    if not ground.short:
        jumps += [(names, -HOUR_S) for names, _ in jumps]
        jumps += [(everybody(stand), off_s) for off_s in (HOUR_S, -HOUR_S, to_2038_s, -time.time() + 60.0)]
    async with stand:
        await asyncio.sleep(0.0 if ground.short else 5.0)  # until everybody knows everybody
        before = await asyncio.to_thread(owners_epoch, stand)
        for names, off_s in jumps:
            ground.say(f"{names[0]} {off_s:+.0f} s")
            clocks.set(names, off_s)
            await asyncio.sleep(1.5 if ground.short else 15.0)
            clocks.set(names, 0.0)
            await asyncio.sleep(1.0 if ground.short else 5.0)
        moved = await asyncio.to_thread(owners_epoch, stand) - before
        await finish(stand, ground)
    broken, figures = await asyncio.to_thread(judge, stand)
    if moved and not ground.short:
        broken.append(f"gateways changed hands {moved} times")
    return Finding(broken=tuple(broken), figures={**figures, "jumps": 2 * len(jumps), "changes_of_hands": moved})


async def start_in_1970(ground: Ground) -> Finding:
    """Start every agent but one gateway without a clock, kill some, and set the clock."""
    stand = lay_out_stand(ground)
    clocks = Clocks(stand)
    names = [name for name in everybody(stand) if name != "gateway-2"]
    clocks.fake(names, 60.0 - time.time())
    async with stand:
        ground.say("it is 1970")
        await asyncio.sleep(3.0 if ground.short else 60.0)
        for name in ("gateway-1", "recorder"):
            program = stand.site.programs[name]
            await program.kill()
            await program.start()
        await asyncio.sleep(3.0 if ground.short else 60.0)
        ground.say("the clock is set")
        clocks.set(names, 0.0)
        await asyncio.sleep(2.0 if ground.short else 30.0)
        await finish(stand, ground)
    broken, figures = await asyncio.to_thread(judge, stand)
    if not figures["retimed"]:
        broken.append("no reading was put right")
    return Finding(broken=tuple(broken), figures=figures)


async def drift(ground: Ground) -> Finding:
    """Let the clocks of a gateway, the detectors and the scheduler run wrong, each another way."""
    ppm, seconds = (5_000, 6.0) if ground.short else (500, 120.0)
    stand = lay_out_stand(ground)
    clocks, detectors = Clocks(stand), list(stand.site.detectors)
    wrong = {1.0: ["gateway-1", "scheduler"], -1.0: [*detectors, "recorder"]}
    clocks.fake([name for names in wrong.values() for name in names])
    drift_s = 0.0
    async with stand:
        ground.say(f"{ppm} ppm")
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < seconds:
            drift_s = passed_s * ppm / 1e6
            for sign, names in wrong.items():
                clocks.set(names, sign * drift_s)
            await asyncio.sleep(0.1)
        await finish(stand, ground)
    broken, figures = await asyncio.to_thread(judge, stand)
    return Finding(broken=tuple(broken), figures={**figures, "drift_s": round(drift_s, 3)})


async def set_for_good(ground: Ground) -> Finding:
    """Have all clocks an hour behind, then set them right for good: what comes after that is right in the end."""
    stand = lay_out_stand(ground)
    clocks, doubt_s = Clocks(stand), DOUBT_S if ground.short else 20.0
    file = stand.site.folder / "prove.toml"
    file.write_text(file.read_text().replace('id = "prove"\n', f'id = "prove"\nclock_doubt = "{doubt_s:.0f}s"\n', 1))
    clocks.fake(everybody(stand), -HOUR_S)
    async with stand:
        ground.say("an hour behind")
        await asyncio.sleep(2.0 if ground.short else 30.0)
        clocks.set(everybody(stand), 0.0)
        set_ns, set_s = time.time_ns(), time.monotonic()
        ground.say("set right")
        await stand.until(
            lambda: stand.effect_after(Victim.RECORDER, "", time.time_ns() - 10**9), doubt_s + 15.0, "not believed"
        )
        believed_s = time.monotonic() - set_s
        await asyncio.sleep(1.0 if ground.short else 20.0)
        await finish(stand, ground)
    noticed_ns = set_ns + int(LEAP_S * 1e9 * 4)  # what was put before anybody could notice stays where it was believed
    broken, figures = await asyncio.to_thread(judge, stand, since_ns=noticed_ns)
    if not figures["retimed"]:
        broken.append("no reading was put right")
    return Finding(broken=tuple(broken), figures={**figures, "believed_after_s": round(believed_s, 1)})


HOLDS = "order by sequence, deadlines unmoved, no false alert, every reading at its true time in the end"
DRILLS = (
    Drill("F20", "clock_jumps", "set agents' clocks by +-1 h, to 2038, and back", HOLDS, jump, ("clock",)),
    Drill("F20", "clock_in_1970", "start agents without a clock, set it later", HOLDS, start_in_1970, ("clock",)),
    Drill("F20", "clock_drifts", "let clocks run wrong by 500 ppm, apart from each other", HOLDS, drift),
    Drill("F20", "clock_set_right", "start all an hour behind, then set the clocks for good", HOLDS, set_for_good),
)
