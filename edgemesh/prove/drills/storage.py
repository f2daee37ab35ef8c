"""The disk: files that are torn, flipped, full, read-only, deleted, or older than what was public already."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgemesh.drivers.count.ledger import read_ledger
from edgemesh.errors import EdgemeshError, LogError
from edgemesh.launch.plant import journal_file
from edgemesh.log.journal import DROPPED, Cursor, Journal, Row
from edgemesh.model.alerts import Alert, AlertKind, AlertState
from edgemesh.model.samples import Batch
from edgemesh.prove import disks
from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.faults import Victim
from edgemesh.prove.judge import Verdict
from edgemesh.prove.site import Program
from edgemesh.prove.stand import Stand
from edgemesh.store.history import History
from edgemesh.store.schema import read_state
from edgemesh.store.scrub import Scrub

GATEWAY = "gateway-1"
BESIDE = ("", "-wal", "-head")
DISK_MB = 32
CALM_S = 40.0
"""Until an alert of a gateway is over: its log is looked after twice, every 5 s, and stays calm for 5 s."""
WAIT_S = 30.0
_batches = msgspec.json.Decoder(tuple[Batch, ...])


@dataclass(slots=True)
class Scene:
    """A running site, and the gateway whose disk is under proof. `data` is that gateway's data folder."""

    stand: Stand
    data: Path
    broken: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """The gateway's log."""
        return journal_file(self.data, GATEWAY)

    @property
    def program(self) -> Program:
        """The gateway's process."""
        return self.stand.site.programs[GATEWAY]

    def must(self, holds: bool, otherwise: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.broken.append(otherwise)

    def said(self, words: str) -> int:
        """How often the gateway's log says so."""
        return self.program.log.read_text(errors="replace").count(words)

    def alerts(self) -> list[Alert]:
        """The alerts about the gateway itself, as the history has them now."""
        try:
            with History(journal_file(self.stand.site.folder / "data", "recorder")) as history:
                return [alert for alert in history.alerts(limit=100_000) if alert.kind is AlertKind.GATEWAY]
        except EdgemeshError:
            return []

    def unread(self) -> list[Row]:
        """The rows of the stopped gateway's log that the recorder has not taken in yet."""
        with closing(Journal.peek(self.file)) as log:
            cursor = self._cursors("recorder").get(GATEWAY)
            after = cursor.through if cursor is not None and cursor.epoch == log.epoch else 0
            return log.rows(after, limit=1_000_000, max_bytes=2**40)

    def _cursors(self, reader: str) -> dict[str, Cursor]:
        with closing(Journal.peek(journal_file(self.stand.site.folder / "data", reader))) as journal:
            return dict(journal.cursors())

    async def readers(self, *, run: bool) -> None:
        """Stop, or start, everybody who reads the gateway's log."""
        names = ["recorder", *self.stand.site.detectors]
        await asyncio.gather(
            *(
                self.stand.site.programs[name].start() if run else self.stand.site.programs[name].stop()
                for name in names
            )
        )

    def finding(self, verdict: Verdict, figures: Mapping[str, Figure], *, allowed: int = 0) -> Finding:
        """Put together what was found; so many readings may be lost, for they were given up and counted."""
        lost = verdict.readings["lost"]
        forgiven = msgspec.structs.replace(verdict, readings=verdict.readings | {"lost": max(lost - allowed, 0)})
        counted = {"accepted": verdict.readings["accepted"], "lost": lost, "lost_allowed": allowed}
        return Finding(broken=(*self.broken, *broken_by(forgiven)), figures={**figures, **counted})


def readings_of(rows: list[Row]) -> int:
    """How many readings the rows hold."""
    return sum(batch.readings for row in rows if row.kind == "readings" for batch in _batches.decode(row.body))


# -- F15 ---------------------------------------------------------------------------------------------------------------


def take(file: Path, taken: Path, chance: random.Random) -> int:
    """Copy a killed gateway's files, leave garbage behind them, and return the size of its write-ahead log."""
    taken.parent.mkdir()
    for ending in BESIDE:
        shutil.copy(f"{file}{ending}", f"{taken}{ending}")
    for ending in ("", "-wal"):
        with Path(f"{file}{ending}").open("ab") as end:
            end.write(chance.randbytes(10_000))
    return Path(f"{taken}-wal").stat().st_size


def commits(log: bytes) -> list[int]:
    """Where each commit of a write-ahead log ends (https://sqlite.org/fileformat2.html, 4.1)."""
    (page,) = struct.unpack(">I", log[8:12])
    salt, ends = log[16:24], []
    for start in range(32, len(log) - page - 23, page + 24):
        frame = log[start : start + 24]
        if frame[8:16] != salt:  # left over from before the log was begun anew
            break
        if frame[4:8] != bytes(4):
            ends.append(start + page + 24)
    return ends


def reopened(taken: Path, torn: Path, log: bytes) -> tuple[int, str]:
    """Open a copy with this write-ahead log; return its last row, having read all of them, and its epoch."""
    shutil.rmtree(torn.parent, ignore_errors=True)
    torn.parent.mkdir(parents=True)
    for ending in ("", "-head"):
        shutil.copy(f"{taken}{ending}", f"{torn}{ending}")
    Path(f"{torn}-wal").write_bytes(log)
    with closing(Journal.open(torn, GATEWAY)) as journal:
        after = journal.lowest - 1
        while rows := journal.rows(after, limit=1_000, max_bytes=2**30):
            after = rows[-1].seq
        return journal.head, journal.epoch


def tear(folder: Path, taken: Path, cuts: int, chance: random.Random) -> Iterator[tuple[str, bool]]:
    """Cut the log in many places; yield what is wrong, or "", and whether it went on under a new epoch."""
    log = Path(f"{taken}-wal").read_bytes()
    ends = [32, *commits(log)]
    _, whole = reopened(taken, folder / "torn" / "log.db", log)
    heads = {
        end: reopened(taken, folder / "torn" / "log.db", log[:end])[0] for end in ends[:: max(len(ends) // cuts, 1)]
    }
    step = max((ends[-1] - 32) // cuts, 1)
    for cut in {
        *range(0, ends[-1], step),
        *(end - 1 for end in heads),
        *(end + chance.randrange(1, 99) for end in heads),
    }:
        before = max((end for end in ends if end <= cut), default=0)
        if before not in heads:
            heads[before] = reopened(taken, folder / "torn" / "log.db", log[:before])[0]
        try:
            head, epoch = reopened(taken, folder / "torn" / "log.db", log[:cut])
        except LogError as error:
            yield f"cut at {cut}: {error}", False
            continue
        wrong = f"cut at {cut}: row {head} is the last, {heads[before]} was committed" if head != heads[before] else ""
        yield wrong, epoch != whole


async def run_torn(ground: Ground) -> Finding:
    """A gateway killed under load: its files are cut everywhere, then it goes on with garbage behind them."""
    stand = ground.stand()
    scene = Scene(stand, stand.site.folder / "data")
    async with stand:
        await gateway_flows(stand, 0)
        await asyncio.sleep(2.0 if ground.short else 20.0)
        await scene.program.kill()
        taken = ground.folder / "taken" / "log.db"
        log_bytes = await asyncio.to_thread(take, scene.file, taken, random.Random(ground.seed))
        began_ns = time.time_ns()
        await scene.program.start()
        await stand.flowing(began_ns)
        ground.say("cutting")
        cuts = await asyncio.to_thread(
            lambda: list(tear(ground.folder, taken, 20 if ground.short else 2_000, random.Random(ground.seed)))
        )
        ground.say("coming to rest")
        await stand.rest()
    verdict = await asyncio.to_thread(stand.verdict)
    scene.broken += [wrong for wrong, _ in cuts if wrong][:5]
    scene.must(scene.said("Traceback") == 0, "the gateway logged a fault")
    return scene.finding(
        verdict,
        {"cuts": len(cuts), "cuts_that_lost_a_row": sum(renewed for _, renewed in cuts), "log_bytes": log_bytes},
    )


# -- F16 ---------------------------------------------------------------------------------------------------------------


WHOLE_BYTES = 400
"""So much of a body stands in one piece in the file, however large it is: SQLite spills what is beyond 489 bytes."""


def flip(file: Path, rows: list[Row], chance: random.Random) -> None:
    """Flip a bit in the body of each of these rows, in the file of a stopped agent."""
    with closing(sqlite3.connect(file)) as connection:  # what is in the write-ahead log goes into the file
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    content = bytearray(file.read_bytes())
    for row in rows:
        piece, places = row.body[:WHOLE_BYTES], list[int]()
        while (at := content.find(piece, places[-1] + 1 if places else 0)) >= 0:
            places.append(at)  # where a page was split what has moved away is still there as well
        if not places:
            raise ValueError(f"row {row.seq} does not stand in {file}")
        offset, bit = chance.randrange(len(piece)), 1 << chance.randrange(8)
        for at in places:
            content[at + offset] ^= bit
    file.write_bytes(content)


async def run_flipped(ground: Ground) -> Finding:
    """Bits of rows that nobody has read yet are flipped in a stopped gateway's file."""
    stand = ground.stand()
    scene, chance = Scene(stand, stand.site.folder / "data"), random.Random(ground.seed)
    async with stand:
        await gateway_flows(stand, 0)
        await scene.readers(run=False)
        await asyncio.sleep(3.0 if ground.short else 20.0)
        await scene.program.stop()
        unread = scene.unread()
        chosen = chance.sample(unread, min(len(unread), 5 if ground.short else 50))
        await asyncio.to_thread(flip, scene.file, chosen, chance)
        await scene.program.start()
        await scene.readers(run=True)
        began_ns = time.time_ns()
        await stand.flowing(began_ns)
        await stand.until(lambda: bool(scene.alerts()), WAIT_S, "no alert about the damaged rows")
        ground.say("coming to rest")
        await stand.rest(CALM_S + 20.0)
        rejected = _rejections(scene.file)
    verdict = await asyncio.to_thread(stand.verdict)
    mended = rejected.get("damaged_row", 0)
    scene.must(mended == len(chosen) > 0, f"{len(chosen)} rows were damaged, {mended} are in the quarantine")
    scene.must(len(scene.alerts()) == 1, f"{len(scene.alerts())} alerts about the gateway, not 1")
    parts, points = await asyncio.to_thread(flip_elsewhere, stand.site.folder / "data", ground.folder, chance)
    scene.must(parts == 1, "the flipped part of the detector was believed")
    scene.must(points == 1, "the flipped reading of the history was believed")
    figures = {"rows_flipped": len(chosen), "rows_quarantined": mended, "alerts": len(scene.alerts())}
    return scene.finding(verdict, figures, allowed=readings_of(chosen))


def flip_elsewhere(data: Path, folder: Path, chance: random.Random) -> tuple[int, int]:
    """Flip a bit in a detector's saved part and one in a reading of the history; return how many were found out."""
    copies = {name: folder / f"{name}.db" for name in ("detector", "recorder")}
    with closing(Journal.peek(journal_file(data, "detector-1"))) as journal:
        one, two = journal.parts(), journal_file(data, "detector-2")
    source = journal_file(data, "detector-1") if one else two
    for name, file in (("detector", source), ("recorder", journal_file(data, "recorder"))):
        shutil.copy(file, copies[name])
    with closing(sqlite3.connect(copies["detector"])) as connection, connection:
        name, value = connection.execute("SELECT name, value FROM part ORDER BY length(value) DESC").fetchone()
        spoiled = bytearray(value)
        spoiled[chance.randrange(len(spoiled))] ^= 1 << chance.randrange(8)
        connection.execute("UPDATE part SET value = ? WHERE name = ?", (bytes(spoiled), name))
    with closing(Journal.open(copies["detector"], source.stem)) as journal:
        parts = journal.rejections().get("damaged_part", 0)
    with closing(sqlite3.connect(copies["recorder"])) as connection, connection:
        before = scrub(connection)
        there = "FROM reading WHERE value <> 0.0"  # most bits of a zero make it a number that no sum tells from it
        (count,) = connection.execute(f"SELECT count(*) {there}").fetchone()
        minute, series, at_ns, value = connection.execute(
            f"SELECT minute, series, at_ns, value {there} LIMIT 1 OFFSET ?",
            (chance.randrange(count),),
        ).fetchone()
        (bits,) = struct.unpack(">Q", struct.pack(">d", value))
        (value,) = struct.unpack(">d", struct.pack(">Q", bits ^ 1 << chance.randrange(40, 63)))
        connection.execute(
            "UPDATE reading SET value = ? WHERE minute = ? AND series = ? AND at_ns = ?", (value, minute, series, at_ns)
        )
        found = scrub(connection)
    return parts, int(not before and found == [(minute, series)])


def scrub(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Go once through a history; what is damaged, as minute and series."""
    scrubbing = Scrub()
    found = scrubbing.step(connection, read_state(connection))
    while not scrubbing.at_end:
        found += scrubbing.step(connection, read_state(connection))
    return found


def _rejections(file: Path) -> dict[str, int]:
    with closing(Journal.peek(file)) as journal:
        return journal.rejections()


# -- F17 and F18 -------------------------------------------------------------------------------------------------------


def move_away(scene: Scene, folder: Path, more: str) -> None:
    """Have the gateway keep its data in a folder of its own, with more settings of `[outbox]`."""
    site = scene.stand.site
    text = (site.folder / "prove.toml").read_text()
    file = site.folder / f"{GATEWAY}.toml"
    file.write_text(text.replace(f'data = "{site.folder}/data"', f'data = "{folder}"') + more)
    scene.program.arguments[1] = str(file)
    scene.data = folder


async def watched(scene: Scene, seconds: float) -> int:
    """Let so many seconds pass; return the most that the gateway held in memory meanwhile, in bytes."""
    most, ends_s = 0, time.monotonic() + seconds
    while time.monotonic() < ends_s:
        most = max(most, _resident(scene.program))
        await asyncio.sleep(0.1)
    return most


def _resident(program: Program) -> int:
    if program.process is None:
        return 0
    try:
        return int(Path(f"/proc/{program.process.pid}/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


async def run_full(ground: Ground) -> Finding:
    """The gateway's disk is filled by another program while nobody reads its log, and freed again."""
    if lacks := disks.missing():
        return Finding(broken=(lacks,))
    with ExitStack() as stack:
        disk = stack.enter_context(disks.SmallDisk(ground.folder / "disk", DISK_MB))
        stand = ground.stand(rate=2_400.0)
        scene = Scene(stand, stand.site.folder / "data")
        move_away(scene, disk.folder / "data", 'budget = "20MB"\n')
        async with stand:
            return await _fill(ground, scene, disk)


async def _fill(ground: Ground, scene: Scene, disk: disks.SmallDisk) -> Finding:
    stand, lasts_s = scene.stand, 8.0 if ground.short else 120.0
    await gateway_flows(stand, 0)
    assert scene.program.process is not None
    pid, before = scene.program.process.pid, _resident(scene.program)
    await scene.readers(run=False)
    ground.say("full")
    filling = asyncio.create_task(asyncio.to_thread(disk.fill))
    accepted = _accepted(stand)
    most = await watched(scene, lasts_s)
    await filling
    while_full = _accepted(stand) - accepted
    await scene.readers(run=True)
    began_ns = time.time_ns()
    drained_s = await stand.flowing(began_ns)
    await stand.until(lambda: bool(scene.alerts()), WAIT_S, "no alert about the full disk")
    disk.free()
    ground.say("freed")
    await stand.until(lambda: scene.said("the disk has room again") > 0, WAIT_S, "nothing says that the disk has room")
    await stand.rest(CALM_S + 20.0)
    dropped = _rejections(scene.file).get(DROPPED, 0)
    scene.must(scene.program.process is not None and scene.program.process.pid == pid, "the gateway died")
    await stand.site.stop()
    verdict = await asyncio.to_thread(stand.verdict)
    # An excursion that the detectors never saw has no alert: its readings gave way before they had them.
    verdict = msgspec.structs.replace(verdict, alerts=verdict.alerts | {"lost": 0, "doubled": 0})
    scene.must(while_full > 0, "nothing was accepted while the disk was full: new readings must take the place of old")
    scene.must(scene.said("the disk is full") == 1, "the full disk was not said once")
    scene.must(scene.said("Traceback") == 0, "the gateway logged a fault")
    _judge_alerts(scene)
    scene.must(most - before < 64_000_000, f"memory grew by {(most - before) // 1_000_000} MB")
    figures: dict[str, Figure] = {
        "full_s": lasts_s,
        "accepted_while_full": while_full,
        "readings_dropped": dropped,
        "live_after_s": round(drained_s, 2),
        "memory_grew_mb": round((most - before) / 1e6, 1),
        "alerts": len(scene.alerts()),
    }
    return scene.finding(verdict, figures, allowed=dropped)


def _judge_alerts(scene: Scene) -> None:
    alerts = scene.alerts()
    scene.must(len(alerts) == 1, f"{len(alerts)} alerts about the gateway, not 1")
    scene.must(all(alert.state is AlertState.CLEARED for alert in alerts), "the alert about the gateway is not over")


async def run_read_only(ground: Ground) -> Finding:
    """The gateway's files can't be written for a while."""
    if lacks := disks.missing():
        return Finding(broken=(lacks,))
    stand, lasts_s = ground.stand(), 4.0 if ground.short else 60.0
    scene = Scene(stand, stand.site.folder / "data")
    async with stand:
        await gateway_flows(stand, 0)
        assert scene.program.process is not None
        pid, before = scene.program.process.pid, _resident(scene.program)
        with disks.Immutable(Path(f"{scene.file}{ending}") for ending in BESIDE):
            await asyncio.sleep(0.5)  # what was under way
            accepted = _accepted(stand)
            ground.say("read-only")
            most = await watched(scene, lasts_s)
            settled = _accepted(stand) - accepted
            await stand.until(lambda: bool(scene.alerts()), WAIT_S, "no alert about the read-only disk")
        began_ns = time.time_ns()
        ground.say("writable")
        back_s = await gateway_flows(stand, began_ns)
        await stand.rest(CALM_S + 20.0)
        scene.must(scene.program.process is not None and scene.program.process.pid == pid, "the gateway died")
    verdict = await asyncio.to_thread(stand.verdict)
    scene.must(settled == 0, f"{settled} samples were settled that could not be kept")
    for words in ("can't keep what comes in", "keeps what comes in again"):
        scene.must(scene.said(words) == 1, f"“{words}” was said {scene.said(words)} times, not once")
    scene.must(scene.said("Traceback") == 0, "the gateway logged a fault")
    scene.must(most - before < 64_000_000, f"memory grew by {(most - before) // 1_000_000} MB")
    _judge_alerts(scene)
    figures: dict[str, Figure] = {
        "read_only_s": lasts_s,
        "settled_meanwhile": settled,
        "live_after_s": round(back_s, 2),
        "memory_grew_mb": round((most - before) / 1e6, 1),
        "alerts": len(scene.alerts()),
    }
    return scene.finding(verdict, figures)


def _accepted(stand: Stand) -> int:
    """Samples that the gateway has said it has committed."""
    return sum(span.size for span in read_ledger(stand.site.folder / "ledgers" / GATEWAY) if span.accepted)


# -- F19 ---------------------------------------------------------------------------------------------------------------


async def run_put_back(ground: Ground) -> Finding:
    """The gateway's log is put back to an older copy, with and without all that belongs to it, and deleted."""
    stand = ground.stand()
    scene = Scene(stand, stand.site.folder / "data")
    allowed, back_s = 0, []
    async with stand:
        await gateway_flows(stand, 0)
        for number, what in enumerate(("file", "folder", "deleted") * (1 if ground.short else 5)):
            ground.say(what)
            copy = ground.folder / f"copy-{number}.db"
            await asyncio.to_thread(copy_live, scene.file, copy)
            await asyncio.sleep(1.5 if ground.short else 10.0)
            await scene.program.kill()
            allowed += readings_of(scene.unread())
            put_back(scene.file, copy, what)
            began_ns = time.time_ns()
            await scene.program.start()
            back_s.append(await gateway_flows(stand, began_ns))
        ground.say("coming to rest")
        await stand.rest()
        rejected = _rejections(scene.file)
    verdict = await asyncio.to_thread(stand.verdict)
    with History(journal_file(stand.site.folder / "data", "recorder")) as history:
        again = history.counts().duplicates  # what was published again under another epoch replaced itself
    readings = verdict.readings | {"doubled": verdict.readings["doubled"] - again}
    verdict = msgspec.structs.replace(verdict, readings=readings)
    said = scene.said("older copy") + scene.said("the log was deleted")
    scene.must(said == len(back_s), f"{len(back_s)} logs were put back, {said} were noticed")
    figures: dict[str, Figure] = {
        "put_back": len(back_s),
        "noticed": said,
        "in_quarantine": sum(rejected.get(name, 0) for name in ("log_lost", "log_rolled_back")),
        "published_again": again,
        "live_after_s": round(max(back_s), 2),
    }
    return scene.finding(verdict, figures, allowed=allowed)


async def gateway_flows(stand: Stand, since_ns: int) -> float:
    """Wait until readings that the gateway took after an instant are in the history; return the seconds it took."""
    began_s = time.monotonic()
    await stand.until(lambda: stand.effect_after(Victim.GATEWAY, GATEWAY, since_ns), WAIT_S, "nothing arrives")
    return time.monotonic() - began_s


def copy_live(file: Path, copy: Path) -> None:
    """Copy a log while its agent runs, and what is beside it."""
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    shutil.copy(f"{file}-head", f"{copy}-head")


def put_back(file: Path, copy: Path, what: str) -> None:
    """Put the copy in the place of a stopped agent's log: `file`, the whole `folder`; or nothing: `deleted`."""
    for ending in ("", "-wal", "-shm"):
        Path(f"{file}{ending}").unlink(missing_ok=True)
    if what != "deleted":
        shutil.copy(copy, file)
    if what == "folder":
        shutil.copy(f"{copy}-head", f"{file}-head")


DRILLS = (
    Drill(
        "F15",
        "torn_files",
        "the write-ahead log cut at every k-th byte and reopened; garbage behind the files of a killed gateway",
        "every row committed before the cut is there",
        run_torn,
    ),
    Drill(
        "F16",
        "flipped_bits",
        "bits flipped in unread rows of a stopped gateway's log, in a detector's state, in the history",
        "found, quarantined, counted, alerted once; the rows after them flow",
        run_flipped,
        ("checksum",),
    ),
    Drill(
        "F17",
        "disk_full",
        "a small disk filled by another program while nobody reads the log, then freed",
        "oldest readings give way, counted, one alert; no fault, memory flat; goes on when freed",
        run_full,
        ("reserve",),
    ),
    Drill(
        "F18",
        "disk_read_only",
        "a gateway's files made immutable under load",
        "nothing is settled that can't be kept; said once, one alert; goes on when writable",
        run_read_only,
        ("settle-after-commit",),
    ),
    Drill(
        "F19",
        "log_put_back",
        "a gateway's log put back to an older copy, with all beside it or without, or deleted",
        "noticed each time; what is committed after is not skipped",
        run_put_back,
        ("witness",),
    ),
)
