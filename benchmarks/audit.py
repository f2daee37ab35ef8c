"""What the audit costs: bytes and time of a decision in the scheduler's file, and how fast a chain is checked.

python -m benchmarks.audit [DECISIONS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import msgspec

from edgemesh.audit.book import AuditBook
from edgemesh.audit.reading import check
from edgemesh.dispatch.docket import Docket
from edgemesh.log.journal import Journal
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Answer, AnswerKind, OrderState, Priority, WorkOrder

START_NS = 1_700_000_000_000_000_000
STEP = 100
"""Decisions of one transaction."""


def order(number: int) -> WorkOrder:
    """A version of an order as technicians get it."""
    return WorkOrder(
        id=derive_id("bench", number // 6),
        version=number % 6 + 1,
        asset=f"P-{number % 30}",
        alert=derive_id("alert", number // 6),
        state=OrderState.ACCEPTED,
        title="Check strainer, suction valve and level of P-101",
        cause="Cavitation from a blocked suction",
        priority=Priority.P2,
        skills={"hydraulics": 0.5, "pumps": 0.25},
        at_ns=START_NS + number,
        opened_at_ns=START_NS,
        executor="anna",
        attempt=1,
        note="on my way",
    )


def main(count: int) -> None:
    """Write and check a chain of so many decisions; times are those of the processor."""
    docket, decisions = Docket("scheduler", kept=True), []
    began_s = time.process_time()
    for number in range(count):
        version = order(number)
        answer = Answer(executor="anna", order=version.id, attempt=1, answer=AnswerKind.ACCEPTED, note="on my way")
        docket.note([version], "answers", epoch=7, answers=[answer])
        decisions += docket.take()
    noted_s = time.process_time() - began_s
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.db"
        journal, book = Journal.open(file, "scheduler"), AuditBook(most=10_000_000)
        with journal.begin() as transaction:
            book.prepare(transaction.connection)
        written_s = 0.0
        for first in range(0, count, STEP):
            with journal.begin() as transaction:
                began_s = time.process_time()
                book.decide(transaction.connection, decisions[first : first + STEP])
                written_s += time.process_time() - began_s
        journal.close()
        size = file.stat().st_size
        began_s = time.process_time()
        audit = check(file)
        checked_s = time.process_time() - began_s
    assert audit.found.entries == count
    assert not audit.found.faults
    print(f"{count} decisions: {size / count:.0f} bytes each")
    print(f"noted in {1e6 * noted_s / count:.0f} us, written in {1e6 * written_s / count:.0f} us each")
    print(f"checked at {count / checked_s:.0f} a second, body {len(msgspec.json.encode(decisions[0]))} bytes")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
