"""Listening in: what is on the bus, decoded, and what was refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from edgemesh.agents.sentry import read_standing
from edgemesh.bus.contract import Bus, Message
from edgemesh.errors import Rejected
from edgemesh.log.journal import Journal
from edgemesh.model.alerts import Alert, Stage
from edgemesh.model.packs import Alerts, Orders, Readings
from edgemesh.wire import codec
from edgemesh.wire.topics import Kind, Topics, parse

Say = Callable[[str], None]
ROWS = 256


async def tap(bus: Bus, topics: Topics, pattern: str, say: Say, *, count: int | None, wait_s: float | None) -> int:
    """Say one line per message until `count` have come, `wait_s` are over or the task is cancelled; return how many."""
    done = asyncio.Event()
    seen = 0

    def take(message: Message) -> None:
        nonlocal seen
        message.settle()
        if count is None or seen < count:
            seen += 1
            say(describe(message))
        if seen == count:
            done.set()

    bus.subscribe(topics.below(pattern), take)
    await bus.open()
    try:
        await asyncio.wait_for(done.wait(), wait_s)
    except TimeoutError:
        pass
    finally:
        await bus.close()
    return seen


def describe(message: Message) -> str:
    """One printable line: the topic, `(retained)` where it is, and the content; bytes that break the rules say why."""
    head = message.topic + (" (retained)" if message.retained else "")
    try:
        line = f"{head}  {_content(message)}"
    except Rejected as rejected:
        line = f"{head}  REJECTED {rejected}"
    return line if line.isprintable() else "".join(map(_printable, line))


def _printable(sign: str) -> str:
    return sign if sign.isprintable() else " " if sign.isspace() else sign.encode("unicode_escape").decode()


def _content(message: Message) -> str:
    address = parse(message.topic)
    if not message.payload:
        return "(emptied)"
    if address.kind in (Kind.READINGS, Kind.ALERTS, Kind.ORDERS):
        pack = codec.decode_pack(message.payload, kind=address.kind, agent=address.name)
        where = f"seq {pack.seq} epoch {pack.epoch} lowest {pack.lowest}:"
        return f"{where} {_records(pack)}"
    if address.kind is Kind.MODEL:
        offer = codec.decode_offer(message.payload, asset=address.name)
        what = "back to the former one" if offer.back else f"version {offer.version}, {len(offer.content)} bytes packed"
        return f"revision {offer.revision}: {what}"
    codec.decode_json(message.payload)
    return message.payload.decode()


def _records(pack: Readings | Alerts | Orders) -> str:
    if isinstance(pack, Readings):
        return "; ".join(
            f"{batch.device} x{len(batch.at_ns)} "
            + " ".join(f"{name}={column[-1]}" for name, column in zip(batch.metrics, batch.values, strict=True))
            for batch in pack.records
        )
    if isinstance(pack, Alerts):
        return "; ".join(map(_alert, pack.records))
    return "; ".join(
        f"order {each.id[:8]} v{each.version} {each.asset} {each.state} {each.executor or '-'}: {each.title}"
        for each in pack.records
    )


def _alert(alert: Alert) -> str:
    by = " by the gateway alone" if alert.stage is Stage.GATEWAY else ""
    how = f"{alert.state}/{alert.severity}{f' {alert.review}' if alert.review else ''}{by}"
    what = f"{alert.cause} To do: {alert.action}" if alert.action else alert.cause
    return f"alert {alert.id[:8]} v{alert.version} {alert.asset} {alert.kind} {how}: {what}"


def alert_lines(data: Path, *, limit: int) -> list[str]:
    """The alerts in the logs of the agents below a data folder, newest first, each in the version that came last.

    They are read from the disk, also while no broker can be reached. What is over goes with the rows of the log; what
    stands at a sentry stays, with what the site says of it.
    """
    newest: dict[str, tuple[int, str]] = {}
    for file in sorted((data / "agents").glob("*.db")):
        journal = Journal.peek(file)
        try:
            for alert in (*_alerts_of(journal), *read_standing(journal.parts())):
                at = f"{datetime.fromtimestamp(alert.at_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}Z"
                newest[alert.id] = alert.at_ns, f"{at}  {journal.agent}  {_alert(alert)}"
        finally:
            journal.close()
    return [line for _, line in sorted(newest.values(), reverse=True)][:limit]


def _alerts_of(journal: Journal) -> Iterator[Alert]:
    after = journal.lowest - 1
    while rows := journal.rows(after, limit=ROWS, max_bytes=2**22):
        if rows[0].kind != "alerts":  # a log holds records of one kind
            return
        for row in rows:
            yield from (each for each in codec.decode_body("alerts", row.body) if isinstance(each, Alert))
        after = rows[-1].seq


def quarantine_lines(data: Path, *, limit: int) -> list[str]:
    """What the agents below a data folder have refused, newest first, and how often for which reason."""
    lines: list[str] = []
    for file in sorted((data / "agents").glob("*.db")):
        journal = Journal.peek(file)
        try:
            counts = journal.rejections()
            kept = journal.quarantine(limit=limit)
        finally:
            journal.close()
        if counts:
            lines.append(
                f"{journal.agent}: " + ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
            )
        lines += [
            f"  {datetime.fromtimestamp(each.at_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}Z  {each.reason:<14}  {each.origin}"
            f"  {each.detail}  {each.payload[:120]!r}"
            for each in kept
        ]
    return lines


async def linked(bus: Bus, *, within_s: float) -> bool:
    """Wait for the bus to have a link."""
    deadline = time.monotonic() + within_s
    while not bus.linked and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    return bus.linked
