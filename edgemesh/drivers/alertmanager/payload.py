"""Alertmanager's webhook JSON, read strictly: what counts must have its form, what we do not know may be there."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from edgemesh.drivers.names import id_from, metric_name
from edgemesh.errors import Rejected
from edgemesh.wire.codec import decode_json
from edgemesh.wire.reasons import Reason

MOST_ALERTS = 1_000
_LEVELS = {"critical": 3.0, "page": 3.0, "error": 3.0, "info": 1.0, "none": 1.0}
"""What the label `severity` means as a level; any other word, or none, is 2: a warning."""

_Labels = dict[Annotated[str, Meta(max_length=200)], Annotated[str, Meta(max_length=4_000)]]


class _Alert(msgspec.Struct, frozen=True, rename="camel"):
    status: Literal["firing", "resolved"]
    labels: _Labels
    fingerprint: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8,64}$")]


class _Group(msgspec.Struct, frozen=True):
    version: Literal["4", "1"]
    """Alertmanager writes 4, Grafana 1."""
    alerts: Annotated[list[_Alert], Meta(max_length=MOST_ALERTS)]


class Told(NamedTuple):
    """What one alert says: a metric of an asset is at a level, for one fingerprint; 0: it is resolved."""

    asset: str
    metric: str
    fingerprint: str
    level: float


def read(payload: bytes, *, asset_label: str, asset: str) -> list[Told]:
    """The alerts of one request. Rejected: as `decode_json`, and `wrong_shape`, `bad_id` where one has no asset."""
    document = decode_json(payload)
    try:
        group = msgspec.convert(document, _Group)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.WRONG_SHAPE, str(error)) from None
    return [_told(alert, asset_label, asset) for alert in group.alerts]


def _told(alert: _Alert, asset_label: str, default: str) -> Told:
    labels = alert.labels
    asset = id_from(labels.get(asset_label, "")) or default
    if not asset:
        raise Rejected(Reason.BAD_ID, f"an alert has no label `{asset_label}`")
    name = metric_name(labels.get("alertname", ""))
    if not name:
        raise Rejected(Reason.BAD_ID, "an alert has no label `alertname`")
    level = _LEVELS.get(labels.get("severity", "").lower(), 2.0) if alert.status == "firing" else 0.0
    return Told(asset, f"alert_{name}"[:64].rstrip("_"), alert.fingerprint.lower(), level)
