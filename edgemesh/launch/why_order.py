"""`edgemesh why ORDER`: find an order in history, log and audit, and tell its story in lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
import msgspec

from edgemesh.audit.reading import decisions, has_table
from edgemesh.console.views import plain
from edgemesh.console.why import Why
from edgemesh.console.why_order import Attempt, OrderWhy, TicketPart, explain_order
from edgemesh.detect.base.signals import number
from edgemesh.errors import InputError, StoreError
from edgemesh.launch.audit import orders_of_log
from edgemesh.launch.lines import count_text, duration_text, instant_text
from edgemesh.launch.notices import notices_file
from edgemesh.launch.why import sensors_lines, step_lines, why
from edgemesh.model.decisions import Decision
from edgemesh.notices.delivery import fates
from edgemesh.notices.tickets.register import tickets
from edgemesh.store.history import History

_SIGNS = 8
_SHOWN = 5
_EVENTS = 1_000
_INSTANTS = (
    ("occurred", "occurred_at_ns"),
    ("detected", "detected_at_ns"),
    ("dispatched", "dispatched_at_ns"),
    ("begun", "begun_at_ns"),
    ("repaired", "repaired_at_ns"),
    ("back in service", "back_at_ns"),
)


def why_any(prefix: str, history: Path) -> Why | OrderWhy:
    """The story of the alert or order whose id begins like this, or of the `last` alert. InputError as `why`."""
    try:
        order = why_order(prefix, history)
    except StoreError:  # `why` says what is wrong with the file
        order = None
    return why(prefix, history) if order is None else order


def why_order(prefix: str, history: Path) -> OrderWhy | None:
    """The story of the one order whose id begins like this; None: no order does.

    `history` is the recorder's file; the logs and audits of schedulers are looked for beside it. InputError where
    several begin like this.
    """
    wanted = prefix.strip().lower().replace("-", "")
    if not wanted or not set(wanted) <= set("0123456789abcdef"):
        return None
    schedulers = [file for file in sorted(history.parent.glob("*.db")) if has_table(file, "audit")]
    logged = [order for file in schedulers for order in orders_of_log(file) if order.id.startswith(wanted)]
    with closing(History(history)) as kept:
        ids = sorted({order.id for order in [*kept.find_orders(wanted, _SHOWN + 1), *logged]})
        if len(ids) > 1:
            wish = "give more of it: " + ", ".join(id_[: max(_SIGNS, len(wanted) + 4)] for id_ in ids[:_SHOWN])
            raise InputError("several orders begin like this", source=prefix, wish=wish)
        if not ids:
            return None
        if alerts := kept.find_alerts(wanted, 1):
            wish = f"give more of it: order {ids[0][:_SIGNS]}, alert {alerts[0].id[:_SIGNS]}"
            raise InputError("an order and an alert begin like this", source=prefix, wish=wish)
        versions = {order.version: order for order in [*kept.order_versions(ids[0]), *logged]}
        for order in kept.find_orders(ids[0], 1):  # where earlier versions are forgotten
            versions.setdefault(order.version, order)
        story = explain_order(kept, [versions[each] for each in sorted(versions)], _decided(schedulers, ids[0]))
    return _with_notices(story, notices_file(history.parent.parent))


def _decided(files: Sequence[Path], order: str) -> dict[int, tuple[int, Decision]]:
    return {decision.version: (entry, decision) for file in files for entry, decision in decisions(file, order=order)}


def _with_notices(story: OrderWhy, file: Path) -> OrderWhy:
    """Add what others were told of it, and its tickets, where the data folder knows of any."""
    if not file.is_file():
        return story
    there = tuple(
        TicketPart(system=noted.system, key=noted.ticket.key, url=noted.ticket.url, state=noted.ticket.state)
        for noted in tickets(file, order=story.id)
    )
    told = Counter(fate.channel for fate in fates(file, subject=story.id, state="done", limit=_EVENTS))
    return msgspec.structs.replace(story, tickets=there, told=dict(told))


def order_lines(told: OrderWhy, *, width: int = 80, fine: bool = True) -> list[str]:
    """The story as lines, with marks of colour that `click.echo` leaves out where there is no terminal."""
    skills = ", ".join(f"{name} {number(grade)}" for name, grade in told.skills.items()) or "no skill"
    lines = [
        click.style(f"{told.asset}: {plain(told.title)}", bold=True),
        f"order {told.id}, {told.priority}, {told.state}{', escalated' if told.escalated else ''}",
        f"likely cause: {plain(told.cause) or 'unknown'}; needs {skills}",
    ]
    if told.alert:
        lines.append(f"opened by {told.alert.severity} alert {told.alert.id[:_SIGNS]}: {plain(told.alert.cause)}")
        lines += sensors_lines(told.alert, width=width, fine=fine)
    lines += ["", *step_lines(told.steps), ""]
    lines += [_attempt_line(attempt) for attempt in told.attempts]
    lines += _instants(told)
    if told.joined:
        lines.append(f"alerts that joined it: {', '.join(alert[:_SIGNS] for alert in told.joined)}")
    if told.told:
        lines.append("told: " + ", ".join(f"{channel} {count_text(n, 'event')}" for channel, n in told.told.items()))
    for ticket in told.tickets:
        lines.append(f"ticket {plain(ticket.key) or 'in doubt'} in {ticket.system}, {plain(ticket.state) or 'new'}")
    if told.signed_by:
        lines.append(f"signed by {told.signed_by}: {told.verdict.replace('_', ' ') if told.verdict else 'no verdict'}")
    lines.append(_audit_line(told))
    return lines


def _attempt_line(attempt: Attempt) -> str:
    said = f", {attempt.said.replace('_', ' ')}" if attempt.said else ""
    ended = f"; {plain(attempt.ended)}" if attempt.ended else ""
    return f"attempt {attempt.number}: {attempt.executor}{said}{ended}"


def _instants(why: OrderWhy) -> list[str]:
    known = [(name, at_ns) for name, key in _INSTANTS if (at_ns := getattr(why, key)) is not None]
    if not known:
        return []
    began = known[0][1]
    told = [f"{name} +{duration_text((at_ns - began) / 1e9)}" for name, at_ns in known[1:]]
    return [f"{known[0][0]} {instant_text(began)}" + (f"; {', '.join(told)}" if told else "")]


def _audit_line(why: OrderWhy) -> str:
    if not why.decisions:
        return "the audit holds no decision of it (any more)"
    return f"{count_text(why.decisions, 'decision')} of it: edgemesh audit show --order {why.id[:_SIGNS]}"
