"""Panels that more than one dashboard shows."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.generator import panels, rows
from grafana.generator.influxql import matches, select
from grafana.generator.panels import BAD, GOOD, SEVERITIES, STATES, WARN, Json

STANDING = "^(pending|firing|acknowledged)$"
OPEN = "^(open|dispatched|accepted|in_progress|on_hold|done)$"
PLACE = ("site", "gateway", "asset")
ORDER_STATES = {
    "open": WARN,
    "dispatched": "yellow",
    "accepted": "blue",
    "in_progress": "blue",
    "on_hold": "purple",
    "done": "super-light-green",
    "verified": GOOD,
    "cancelled": "text",
}
PRIORITIES = {"P1": BAD, "P2": WARN, "P3": "yellow", "P4": "text"}

_ALERT_FIELDS = ("Time", "state", "severity", "kind", "asset", "cause", "action", "score")
_ORDER_FIELDS = ("Time", "state", "priority", "asset", "title", "executor", "skill", "attempt", "age_s", "due_s")


def alert_versions(*variables: str) -> Json:
    """All versions of alerts in the chosen time, as rows."""
    names = ("id", "version", *(name for name in _ALERT_FIELDS if name != "Time"))
    text = select(_quoted(names), "alert", *(matches(name) for name in variables or PLACE))
    return panels.query(text, table=True)


def newest_alerts(*, standing: bool) -> list[Json]:
    """The newest version of each alert; `standing`: of those only that are not over."""
    steps = rows.latest("id", "version", _ALERT_FIELDS)
    return [*steps, rows.only("state (last)", STANDING)] if standing else steps


def alert_table(title: str, description: str, *variables: str, standing: bool, empty: str, kinds: str = "") -> Json:
    """Alerts, one row each, newest first; the asset leads to its signals. `kinds`: a pattern, all if left out."""
    names = {
        "Time (first)": "Since",
        "severity (last)": "Severity",
        "state (last)": "State",
        "asset (last)": "Asset",
        "cause (last)": "Cause",
        "action (last)": "What to do",
        "kind (last)": "Kind",
        "score (last)": "Score",
        "Time (last)": "Last change",
    }
    overrides = [
        panels.override("Since", unit="dateTimeFromNow", custom__width=150),
        panels.override("Last change", unit="dateTimeFromNow", custom__width=150),
        panels.coloured("Severity", SEVERITIES),
        panels.coloured("State", STATES),
        panels.override("Asset", links=[panels.link("Signals and score", "anomalies", "site", asset="Asset")]),
        panels.override("Cause", custom__minWidth=320),
    ]
    of_kind = [rows.only("kind (last)", kinds)] if kinds else []
    steps = [*newest_alerts(standing=standing), *of_kind, rows.columns(names, hidden=("id",))]
    return panels.table(
        title,
        description,
        alert_versions(*variables),
        sort="Since",
        overrides=overrides,
        transformations=steps,
        empty=empty,
    )


def order_versions(*variables: str) -> Json:
    """All versions of work orders in the chosen time, as rows."""
    names = ("id", "version", *(name for name in _ORDER_FIELDS if name != "Time"))
    text = select(_quoted(names), "workorder", *(matches(name) for name in variables or ("site", "asset")))
    return panels.query(text, table=True)


def open_orders() -> list[Json]:
    """The newest version of each order that is not verified or cancelled."""
    return [*rows.latest("id", "version", _ORDER_FIELDS), rows.only("state (last)", OPEN)]


def order_table(title: str, description: str, *variables: str, empty: str) -> Json:
    """Open orders, one row each, the oldest first."""
    names = {
        "priority (last)": "Priority",
        "state (last)": "State",
        "asset (last)": "Asset",
        "title (last)": "What is to be done",
        "executor (last)": "Executor",
        "skill (last)": "Skill",
        "attempt (last)": "Dispatches",
        "age_s (last)": "Age at last move",
        "due_s (last)": "Time left then",
        "Time (last)": "Last move",
    }
    overrides = [
        panels.coloured("Priority", PRIORITIES),
        panels.coloured("State", ORDER_STATES),
        panels.override("Last move", unit="dateTimeFromNow", custom__width=150),
        panels.override("Age at last move", unit="s"),
        panels.override("Time left then", unit="s"),
        panels.override("What is to be done", custom__minWidth=320),
        panels.override("Asset", links=[panels.link("Signals and score", "anomalies", "site", asset="Asset")]),
    ]
    steps = [*open_orders(), rows.columns(names, hidden=("id", "Time (first)"))]
    return panels.table(
        title,
        description,
        order_versions(*variables),
        sort="Age at last move",
        overrides=overrides,
        transformations=steps,
        empty=empty,
    )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
