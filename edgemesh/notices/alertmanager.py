"""Alertmanager's webhook JSON, version 4, as an on-call tool expects it (prometheus.io, webhook_config)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from edgemesh.model.alerts import Severity
from edgemesh.model.orders import Priority
from edgemesh.notices.events import Event

_OVER = frozenset({"cleared", "verified", "cancelled"})
_NEVER = "0001-01-01T00:00:00Z"
"""What Alertmanager writes where an alert has no end yet."""
_SEVERITIES = {
    Priority.P1: Severity.CRITICAL,
    Priority.P2: Severity.WARNING,
    Priority.P3: Severity.WARNING,
    Priority.P4: Severity.INFO,
}


def encode(event: Event, *, receiver: str) -> bytes:
    """The event as a group of one alert: resolved once the alert is cleared, or the order is verified or cancelled."""
    labels, annotations = _labels(event), _annotations(event)
    over = event.what in _OVER
    status = "resolved" if over else "firing"
    began_ns = event.order.opened_at_ns if event.order else event.alert.onset_at_ns if event.alert else event.at_ns
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": _instant(began_ns),
        "endsAt": _instant(event.at_ns) if over else _NEVER,
        "generatorURL": "",
        "fingerprint": fingerprint(labels),
    }
    group = {"alertname": labels["alertname"], "asset": labels["asset"]}
    return msgspec.json.encode(
        {
            "version": "4",
            "groupKey": "{}:{" + ", ".join(f'{name}="{value}"' for name, value in group.items()) + "}",
            "truncatedAlerts": 0,
            "status": status,
            "receiver": receiver,
            "groupLabels": group,
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": "",
            "alerts": [alert],
        }
    )


def fingerprint(labels: dict[str, str]) -> str:
    """16 hexadecimal digits that are the same for the same labels, as long as the alert stands and when it is over."""
    text = "\x1f".join(f"{name}\x1f{value}" for name, value in sorted(labels.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _labels(event: Event) -> dict[str, str]:
    """What the alert is known by: nothing that changes while it stands."""
    if event.order:
        return {"alertname": "edgemesh_order", "asset": event.asset, "order": event.order.id, "site": event.site}
    assert event.alert is not None
    kind = event.alert.kind.value
    return {"alertname": f"edgemesh_{kind}", "alert": event.alert.id, "asset": event.asset, "site": event.site}


def _annotations(event: Event) -> dict[str, str]:
    severity = event.severity or _SEVERITIES[event.priority or Priority.P3]
    told = {"summary": event.text, "event": event.what, "severity": severity.value}
    if event.order:
        told |= {"priority": event.order.priority.value, "cause": event.order.cause}
    elif event.alert:
        told |= {"description": event.alert.consequence, "action": event.alert.action}
    return {name: value for name, value in told.items() if value}


def _instant(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
