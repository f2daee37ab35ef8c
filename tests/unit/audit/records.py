"""Builders for tests of the audit: decisions, chains, and a scheduler that writes one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from edgemesh.agents.engine import Engine
from edgemesh.agents.items import Heard, Noticed
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.audit.book import AuditBook
from edgemesh.audit.chain import GENESIS, Entry, Mark, append
from edgemesh.dispatch.settings import DispatchSettings, TriageRule
from edgemesh.log.journal import Journal
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.decisions import Decision
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import AnswerKind, OrderState, WorkOrder
from edgemesh.model.packs import Cards
from edgemesh.testing import FixedClock, make_pack
from edgemesh.wire import codec
from tests.unit.dispatch.plant import START, alert, answer, card


def decision(number: int, order: str = "") -> Decision:
    """The decision of this number, each unlike the others."""
    return Decision(
        at_ns=START + number,
        by="scheduler",
        epoch=7,
        order=order or derive_id("order", number % 3),
        version=number,
        asset="P-101",
        alert=derive_id("alert"),
        after=OrderState.OPEN,
        because="time",
        digest=f"{number:064x}",
    )


def chain(count: int) -> list[Entry]:
    """So many entries after a mark."""
    entries: list[Entry] = []
    start = Mark(0, GENESIS)
    for number in range(count):
        entries.append(append(start, decision=decision(number)))
        start = Mark(entries[-1].seq, entries[-1].hash)
    return entries


class Plant:
    """A scheduler on its own file under `folder`, with a pump, and Anna who can repair it."""

    def __init__(self, folder: Path, *, most: int = 100_000) -> None:
        self.file = folder / "agents" / "scheduler.db"
        self.clock = FixedClock(START)
        self._most = most
        self._seq = 0
        self.open()

    def open(self) -> None:
        self.journal = Journal.open(self.file, "scheduler")
        self.engine = Engine(self.journal, self._core, self.clock, writes="orders", sinks=[AuditBook(most=self._most)])

    def _core(self) -> SchedulerCore:
        assets = {"P-101": Asset(id="P-101", asset_class="pump", criticality="A")}
        rule = TriageRule(title="Look at it", skills={"pumps": 0.5})
        return SchedulerCore("scheduler", "test", DispatchSettings(triage=(rule,)), assets, epoch=7, audited=True)

    def close(self) -> None:
        self.journal.close()

    def alerts(self, *alerts: Alert) -> None:
        self._seq += 1
        pack = make_pack(list(alerts), agent="d1", seq=self._seq)
        self._step(Heard("alerts", "d1", "t", codec.encode(pack), lambda: None, at_ns=self.clock.now_ns()))

    def say(self, name: str, said: AnswerKind, attempt: int = 1) -> None:
        body = codec.encode(answer(name, self.orders()[-1].id, said, attempt, ""))
        self._step(Heard("answers", name, "t", body, lambda: None, at_ns=self.clock.now_ns()))

    def anna(self, *, up: bool = True) -> None:
        noticed = Noticed(Cards((card("anna", skills={"pumps": 0.9}, up=up),)))
        noticed.at_ns = self.clock.now_ns()
        self._step(noticed)

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.engine.step([])

    def _step(self, *items: Heard | Noticed) -> None:
        self.engine.step(items)

    def orders(self) -> list[WorkOrder]:
        rows = self.journal.rows(0, limit=10_000, max_bytes=2**30)
        records: Sequence[object] = [each for row in rows for each in codec.decode_body(row.kind, row.body)]
        return [each for each in records if isinstance(each, WorkOrder)]

    def repair(self) -> None:
        """One alert, from the order to its verification."""
        self.anna()
        self.alerts(alert())
        self.say("anna", AnswerKind.ACCEPTED)
        self.say("anna", AnswerKind.STARTED)
        self.say("anna", AnswerKind.DONE)
        self.alerts(alert(state=AlertState.CLEARED, version=2))
        self.wait(61)


def change(file: Path, *statements: str) -> None:
    """Change a file as somebody would who has SQLite."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
