"""The live view in a terminal: one calm screen, drawn again when something has changed."""

from __future__ import annotations

import math

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgemesh.console.lines import LineView, local_time
from edgemesh.console.snapshot import STEPS, AgentView, AlertView, OrderView, Snapshot

__all__ = ["LineView", "TerminalView"]

_SEVERITY = {"critical": ("◆", "bold red"), "warning": ("▲", "yellow"), "info": ("●", "cyan")}
_PRESENCE = {"up": ("●", "green"), "down": ("✗", "bold red"), "unknown": ("○", "yellow")}
_TROUBLE = ("▲", "yellow")
_MARKS = {"critical": "bold red", "warning": "yellow", "down": "yellow", "escalated": "bold red", "verified": "green"}
_BARS = "▁▂▃▄▅▆▇█"
_SOFT = "bright_black"


def _span(seconds: float) -> str:
    """A duration in one unit: `4 s`, `12 min`, `3 h`, `2 d`."""
    for limit, size, unit in ((100, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


class TerminalView:
    """Shows snapshots on a rich Console, full screen from `open` to `close`, which gives the screen back as it was.

    `title` says which broker it is and where the page is. Works from 60 columns and 16 lines on.
    """

    def __init__(self, console: Console, title: str, *, full_screen: bool = True) -> None:
        self._console, self._title = console, title
        self._live = Live(
            console=console, screen=full_screen, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def open(self) -> None:
        """Take the screen."""
        self._live.start()
        self._live.update(Text(self._title, overflow="ellipsis", no_wrap=True), refresh=True)

    def update(self, snapshot: Snapshot) -> None:
        """Draw the snapshot; before `open` and after `close` nothing happens."""
        if self._live.is_started:
            self._live.update(self.render(snapshot), refresh=True)

    def close(self) -> None:
        """Give the screen back."""
        self._live.stop()

    def render(self, snapshot: Snapshot) -> RenderableType:
        """The screen for a snapshot, never taller or wider than the console is now."""
        height = max(12, self._console.height - 1)
        agents = _agents(snapshot, self._console.width)
        room = height - 7 - len(agents)
        alerts_room = max(1, min(len(snapshot.alerts) or 1, room // 3))
        orders_room = max(2, min(2 * len(snapshot.orders) or 1, (room - alerts_room) * 3 // 5))
        story_room = max(1, room - alerts_room - orders_room)
        return Group(
            _header(snapshot, self._title, self._console.width),
            Text(),
            *agents,
            Text(),
            _heading("Alerts", snapshot.totals.alerts, alerts_room),
            *_alerts(snapshot, alerts_room),
            _heading("Work orders", snapshot.totals.orders, orders_room // 2),
            *_orders(snapshot, orders_room // 2),
            _heading("Latest", 0, 0),
            *_story(snapshot, story_room),
        )


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _row(left: Text, right: Text) -> Table:
    """The left text is cut where the right one needs the room."""
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    row.add_column(justify="right", no_wrap=True)
    row.add_row(left, right)
    return row


def _heading(name: str, total: int, shown: int) -> Text:
    more = f"  {shown} of {total}" if total > shown else ""
    return _line((name, "bold"), (more, _SOFT))


def _header(snapshot: Snapshot, title: str, width: int) -> RenderableType:
    totals = snapshot.totals
    if not snapshot.linked and not totals.agents:
        verdict = _line(("Connecting to the broker…", "bold"))
    elif not snapshot.linked:
        verdict = _line(("The broker can't be reached; this is what was last known.", "bold reverse"))
    elif totals.alerts:
        style = "bold red" if totals.critical else "bold yellow"
        words = f"{totals.alerts} alert{'s' if totals.alerts > 1 else ''}"
        critical = f", {totals.critical} critical" if totals.critical else ""
        verdict = _line(
            (words + critical, style), (f" · {totals.orders} open order{'s' if totals.orders != 1 else ''}", "")
        )
    elif totals.agents or totals.devices:
        verdict = _line(("Nothing is wrong.", "bold green"))
    else:
        verdict = _line(("Waiting for the first agents…", "bold"))
    rate = _line((_bars(snapshot.trail, min(30, width // 4)), "blue"), (f" {snapshot.per_s:,.1f} readings/s", "bold"))
    page = _line((title, _SOFT))
    clock = _line((local_time(snapshot.at_ns), _SOFT))
    count = _line((f"{totals.devices} devices · {totals.readings:,} readings", _SOFT))
    return Group(_row(page, clock), _row(verdict, rate), _row(Text(), count))


def _bars(trail: tuple[float, ...], width: int) -> str:
    """The trail as a row of blocks; an empty trail is an empty text."""
    points = trail[-width:]
    top = max(points, default=0.0)
    if top <= 0.0:
        return ""
    return "".join(_BARS[min(7, math.floor(point / top * 7.999))] for point in points)


def _agents(snapshot: Snapshot, width: int) -> list[Text]:
    """At most three lines of agents, those in trouble first."""
    if not snapshot.agents:
        return [_line(("No agent has been heard yet.", _SOFT))]
    lines: list[Text] = []
    counts: list[int] = []
    for agent in snapshot.agents:
        words = _agent(agent)
        if not lines or lines[-1].cell_len + words.cell_len + 3 > width:
            lines.append(_line(("", "")))
            counts.append(0)
        lines[-1].append("   " if counts[-1] else "").append_text(words)
        counts[-1] += 1
    if len(lines) > 3:
        more = snapshot.totals.agents - sum(counts[:2])
        lines[2:] = [_line((f"… and {more} agents more", _SOFT))]
    return lines


def _agent(agent: AgentView) -> Text:
    sign, style = _PRESENCE[agent.presence]
    load = f" {agent.load}/{agent.max_load}" if agent.role == "executor" else ""
    state = "" if agent.presence == "up" else f" {agent.presence}"
    if agent.trouble and agent.presence == "up":
        sign, style, state = *_TROUBLE, f" {agent.trouble}"
    return _line((sign + " ", style), (agent.agent, ""), (load, _SOFT), (state, style))


def _alerts(snapshot: Snapshot, room: int) -> list[RenderableType]:
    if not snapshot.alerts:
        return [_line(("  none", _SOFT))]
    return [_alert(alert) for alert in snapshot.alerts[:room]]


def _alert(alert: AlertView) -> RenderableType:
    sign, style = _SEVERITY[alert.severity]
    seen = " (acknowledged)" if alert.state == "acknowledged" else ""
    seen += " (by the gateway alone)" if alert.stage == "gateway" else ""
    left = _line((f"  {sign} {alert.severity:<8} ", style), (alert.asset, "bold"), (f"  {alert.cause}{seen}", ""))
    return _row(left, _line((_span(alert.age_s), _SOFT)))


def _orders(snapshot: Snapshot, room: int) -> list[RenderableType]:
    if not snapshot.orders:
        return [_line(("  none", _SOFT))]
    return [line for order in snapshot.orders[:room] for line in _order(order)]


def _order(order: OrderView) -> tuple[RenderableType, RenderableType]:
    who = order.executor or ("nobody is left" if order.escalated else "looking for somebody")
    escalated = ("escalated ", "bold red") if order.escalated else ("", "")
    head = _line((f"  {order.priority} ", _SOFT), (order.asset, "bold"), (f"  {order.title}", ""))
    path = Text("     ", no_wrap=True, overflow="ellipsis")
    for index, step in enumerate(STEPS):
        sign = "●" if index < order.step else "◉" if index == order.step else "○"
        style = "bold" if index == order.step else _SOFT
        words = step.replace("_", " ") + (" (on hold)" if index == order.step and order.state == "on_hold" else "")
        path.append(f"{sign} ", style)
        path.append(words if index == order.step else "", style)
        path.append(" " if index == order.step else "", style)
    return _row(head, _line((_span(order.age_s), _SOFT))), _row(path, _line(escalated, (who, "")))


def _story(snapshot: Snapshot, room: int) -> list[RenderableType]:
    if not snapshot.story:
        return [_line(("  nothing has happened yet", _SOFT))]
    return [
        _line(
            (f"  {local_time(event.at_ns)}  ", _SOFT),
            (f"{event.mark:<12} ", _MARKS.get(event.mark, "")),
            (f"{event.subject}: {event.text}", ""),
        )
        for event in snapshot.story[-room:]
    ]
