"""Panels that may rightly find nothing at a healthy site, each with the reason. All others must find rows."""

from __future__ import annotations

EVERY = "every dashboard"
QUIET: dict[tuple[str, str], str] = {
    ("site", "Standing alerts"): "nothing is wrong now",
    ("site", "Open work orders"): "nothing is to be done now",
    ("site", "Nobody was left"): "somebody always was",
    ("devices", "Silent devices and bad sensors"): "every device speaks",
    ("devices", "Doubtful readings"): "all are good",
    ("devices", "Late readings"): "none had to wait",
    ("devices", "Readings without a series"): "there are few series",
    ("device", "Doubtful and late readings"): "all are good and in time",
    ("device", "Long ago"): "no minute has ended yet",
    ("anomalies", "Standing alerts"): "nothing is wrong now",
    ("workorders", "Open now"): "nothing is to be done now",
    ("workorders", "Open work orders"): "nothing is to be done now",
    ("workorders", "Open by state"): "nothing is to be done now",
    ("workorders", "Handed on"): "everybody answered in time",
    ("workorders", "Nobody was left"): "somebody always was",
    ("workorders", "What was found"): "nobody gave a verdict",
    ("agents", "First log full in"): "no log fills",
    ("agents", "Trouble"): "nobody is in trouble",
    ("agents", "Notice"): "nothing goes badly",
    ("agents", "Log"): "only warnings and worse are told",
    ("traces", "Failed spans"): "nothing failed",
    ("traces", "Failed"): "nothing failed",
    ("traces", "Linked traces"): "no work took that long",
    (EVERY, "Alerts: critical"): "nothing was critical",
    (EVERY, "Alerts: info"): "no rule of the site is that mild",
    (EVERY, "Silent: critical"): "every device speaks",
    (EVERY, "Silent: warning"): "every device speaks",
    (EVERY, "Silent: info"): "every device speaks",
    ("alert rules", "Work order beyond its deadline"): "all were in time",
    ("alert rules", "Log full within a day"): "no log fills",
    ("alert rules", "Agent in trouble"): "nobody is in trouble",
}
"""By dashboard and title. What may stand or not when it is looked at is here, too."""
