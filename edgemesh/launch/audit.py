"""`edgemesh audit`: is what the scheduler decided still what is written, and what did it decide?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import click
import msgspec

from edgemesh.audit.chain import MOST_FAULTS, Fault, Mark
from edgemesh.audit.reading import Audit, Kept, check, compare, connect, decisions, has_table
from edgemesh.configuration.loading import load
from edgemesh.console.views import plain
from edgemesh.console.why_order import because_of
from edgemesh.dispatch.docket import digest_of
from edgemesh.errors import InputError, LogDamaged, LogError
from edgemesh.launch.lines import count_text, instant_text
from edgemesh.log.journal import Journal
from edgemesh.model.decisions import Decision
from edgemesh.model.orders import WorkOrder
from edgemesh.wire import codec

_order = msgspec.json.Decoder(WorkOrder)
_SIGNS = 8
_ROWS = 500


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one scheduler's audit; `versions` of orders were held against it. `head` is worth noting
    elsewhere.

    `first` to `last` are the entries held.
    """

    agent: str
    entries: int
    first: int
    last: int
    head: str
    versions: int
    faults: tuple[Fault, ...]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with its number in the chain."""

    seq: int
    decision: Decision


def data_of(place: Path) -> Path:
    """The data folder of a configuration (.toml); anything else is what it is. ConfigError as `load`."""
    return load(place).data if place.suffix == ".toml" else place


def find_audits(folder: Path) -> list[Path]:
    """The files of a data folder (or the file) that hold an audit. InputError when there is none."""
    there = [folder] if folder.is_file() else sorted((folder / "agents").glob("*.db"))
    found = [file for file in there if has_table(file, "audit")]
    if not found:
        wish = "name the data folder of a site with a scheduler that has run, like data/demo"
        raise InputError("there is no audit here", source=str(folder), wish=wish)
    return found


def verify(folder: Path, *, history: Path | None = None, head: str = "") -> list[Answer]:
    """Check each audit of a data folder, and hold it against orders in the logs and histories there, or in `history`.

    `head` is what was noted earlier, `SEQ:HASH`: the chain must still pass through it. InputError for what is none.
    """
    marks = [_mark(head)] if head else []
    files = [history] if history else [] if folder.is_file() else sorted((folder / "agents").glob("*.db"))
    kept = [version for file in files if has_table(file, "workorder_version") for version in _of_history(file)]
    answers = []
    audits = find_audits(folder)
    for file in audits:
        audit = check(file)
        versions = [*_of_log(file), *kept]
        faults = [*audit.found.faults, *compare(file, versions, [other for other in audits if other != file])]
        faults += [fault for mark in marks for fault in _missed(file, mark, audit)]
        answers.append(
            Answer(
                agent=file.stem,
                entries=audit.found.entries,
                first=audit.start.seq + 1,
                last=audit.head.seq,
                head=str(audit.head),
                versions=len(versions),
                faults=tuple(faults[:MOST_FAULTS]),
            )
        )
    return answers


def _mark(text: str) -> Mark:
    seq, _, digest = text.partition(":")
    try:
        return Mark(int(seq), bytes.fromhex(digest))
    except ValueError:
        wish = "copy the head that `edgemesh audit verify` printed, like 1204:9f86…, with all its digits"
        raise InputError("is no head of an audit", source=text, wish=wish) from None


def _missed(file: Path, mark: Mark, audit: Audit) -> Iterator[Fault]:
    """What speaks against the chain having grown from this mark."""
    if mark.seq <= audit.start.seq:
        if mark.seq == audit.start.seq and mark.hash != audit.start.hash:
            yield Fault(what="edited", first=mark.seq, last=mark.seq, text="the chain begins after another entry")
        return
    with closing(connect(file)) as connection:
        row = connection.execute("SELECT hash FROM audit WHERE seq = ?", (mark.seq,)).fetchone()
    if row is None:
        yield Fault(what="cut", first=mark.seq, last=mark.seq, text="missing, and it was the head once")
    elif row[0] != mark.hash:
        yield Fault(what="edited", first=1, last=mark.seq, text="written anew: the head that was noted is another")


def _of_log(file: Path) -> list[Kept]:
    return [_kept(order, file.name) for order in orders_of_log(file)]


def orders_of_log(file: Path) -> list[WorkOrder]:
    """The versions of orders that a scheduler's log still holds, oldest first."""
    kept: list[WorkOrder] = []
    try:
        with closing(Journal.peek(file)) as journal:
            after = journal.lowest - 1
            while rows := journal.rows(after, limit=_ROWS, max_bytes=2**24):
                after = rows[-1].seq
                records = (each for row in rows for each in codec.decode_body(row.kind, row.body))
                kept += [each for each in records if isinstance(each, WorkOrder)]
    except LogDamaged as damage:
        click.echo(f"edgemesh: {damage}: its orders after that are not compared", err=True)
    except LogError as error:
        raise InputError(str(error), source=str(file)) from error
    return kept


def _of_history(file: Path) -> list[Kept]:
    try:
        with closing(connect(file)) as connection:
            rows = connection.execute("SELECT body FROM workorder_version")
            return [_kept(_order.decode(body), file.name) for (body,) in rows]
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise InputError(f"its orders can't be read: {error}", source=str(file)) from error


def _kept(order: WorkOrder, where: str) -> Kept:
    return Kept(order.id, order.version, order.opened_at_ns, digest_of(order), where)


def verdict_lines(answers: Sequence[Answer]) -> list[str]:
    """The answers for people."""
    lines = []
    for answer in answers:
        whole = "whole" if not answer.faults else f"{count_text(len(answer.faults), 'fault')} found"
        held = f"{count_text(answer.entries, 'entry').replace('entrys', 'entries')}, {answer.first} to {answer.last}"
        lines.append(f"{answer.agent}: {held}: {whole}; held against {answer.versions} versions of orders")
        for fault in answer.faults:
            span = f"entry {fault.first}" if fault.first == fault.last else f"entries {fault.first} to {fault.last}"
            lines.append(f"  {fault.what}: {span}: {plain(fault.text)}")
        lines.append(f"  head {answer.head}")
    return lines


def show(folder: Path, *, order: str = "", limit: int | None = None) -> list[Told]:
    """The decisions of a data folder's audits, of orders whose id begins so; the newest `limit`."""
    prefix = order.strip().lower().replace("-", "")
    if not set(prefix) <= set("0123456789abcdef"):
        raise InputError("is no id of an order", source=order, wish="give the beginning of one, like 5db6")
    return [
        Told(seq=seq, decision=decision)
        for file in find_audits(folder)
        for seq, decision in decisions(file, order=prefix, limit=limit)
    ]


def decision_lines(told: Sequence[Told]) -> list[str]:
    """One line a decision."""
    return [f"{each.seq:>7} {instant_text(each.decision.at_ns)} {decision_text(each.decision)}" for each in told]


def decision_text(decision: Decision) -> str:
    """A decision and what it went by, as one line for people."""
    before = decision.before or "new"
    name = f" {decision.executor}" if decision.executor else ""
    by = because_of(decision)
    note = f": {plain(decision.note)}" if decision.note else ""
    return (
        f"order {decision.order[:_SIGNS]} v{decision.version} {before} -> {decision.after}{name}"
        f"{' escalated' if decision.escalated else ''} by {by}{note} ({decision.by}, epoch {decision.epoch})"
    )
