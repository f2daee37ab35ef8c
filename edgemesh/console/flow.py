"""The flow of readings: how many a second, from which gateway, and which devices still speak.

Only the outline of a pack is decoded; its values are counted, not read.
"""

from __future__ import annotations

import msgspec

from edgemesh.console.rates import Rate, Trail
from edgemesh.console.snapshot import DeviceView, GatewayView
from edgemesh.errors import Rejected
from edgemesh.model.agents import Epoch
from edgemesh.model.ids import Id
from edgemesh.model.packs import Sequence
from edgemesh.wire.codec import MAX_BYTES
from edgemesh.wire.reasons import Reason

MAX_GATEWAYS = 1_000
MAX_DEVICES = 10_000
QUIET_AFTER_S = 10.0
FORGET_AFTER_S = 86_400.0


class _Columns(msgspec.Struct, frozen=True):
    """The outline of a batch."""

    device: Id
    asset: Id
    values: msgspec.Raw


class _Outline(msgspec.Struct, frozen=True, tag_field="kind", tag="readings"):
    """The outline of a pack of readings."""

    agent: Id
    epoch: Epoch
    seq: Sequence
    records: tuple[_Columns, ...]


_outlines = msgspec.json.Decoder(_Outline)


class _Gateway:
    """What is known of one gateway's log."""

    def __init__(self) -> None:
        self.rate = Rate()
        self.epoch, self.seq = "", 0


class _Device:
    """When a device last spoke, and how often it does."""

    __slots__ = ("asset", "period_s", "seen_s")

    def __init__(self, asset: str, now_s: float) -> None:
        self.asset, self.seen_s, self.period_s = asset, now_s, 0.0

    def speak(self, now_s: float) -> None:
        gap_s = max(0.0, now_s - self.seen_s)
        self.period_s += 0.2 * (gap_s - self.period_s)
        self.seen_s = now_s

    def quiet(self, now_s: float) -> bool:
        return now_s - self.seen_s > max(QUIET_AFTER_S, 3.0 * self.period_s)


class Flow:
    """Counts the packs of all gateways, each pack once."""

    def __init__(self) -> None:
        self._total = Rate()
        self._trail = Trail(self._total)
        self._gateways: dict[str, _Gateway] = {}
        self._devices: dict[tuple[str, str], _Device] = {}

    @property
    def count(self) -> int:
        """Readings since the start."""
        return self._total.count

    def per_s(self, now_s: float) -> float:
        """Readings a second of all gateways."""
        return round(self._total.per_s(now_s), 1)

    def trail(self, now_s: float) -> tuple[float, ...]:
        """The rate at each of the last 60 whole seconds, oldest first."""
        self._trail.catch_up(now_s)
        return self._trail.points()

    def take(self, gateway: str, payload: bytes, now_s: float) -> None:
        """Count one pack of `gateway`'s log. Rejected when it is none, or when there is no room for a new name."""
        outline = _decode(gateway, payload)
        known = self._gateways.get(gateway)
        if known is None:
            if len(self._gateways) >= MAX_GATEWAYS:
                raise Rejected(Reason.TOO_MANY, "gateways")
            known = self._gateways[gateway] = _Gateway()
        if outline.epoch == known.epoch and outline.seq <= known.seq:
            return
        known.epoch, known.seq = outline.epoch, outline.seq
        readings = sum(_count(batch.values) for batch in outline.records)
        self._trail.catch_up(now_s)
        self._total.add(readings, now_s)
        known.rate.add(readings, now_s)
        heard = [self._hear(gateway, batch, now_s) for batch in outline.records]
        if not all(heard):
            raise Rejected(Reason.TOO_MANY, "devices")

    def _hear(self, gateway: str, batch: _Columns, now_s: float) -> bool:
        """Note that the device speaks; False: there is no room for a new one."""
        device = self._devices.get((gateway, batch.device))
        if device is not None:
            device.speak(now_s)
            return True
        if len(self._devices) >= MAX_DEVICES:
            return False
        self._devices[gateway, batch.device] = _Device(batch.asset, now_s)
        return True

    def gateways(self, owners: dict[str, str], now_s: float) -> tuple[GatewayView, ...]:
        """All gateways by name, with the detector that owns each one's log."""
        return tuple(
            GatewayView(
                gateway=name,
                per_s=round(known.rate.per_s(now_s), 1),
                readings=known.rate.count,
                owner=owners.get(name),
            )
            for name, known in sorted(self._gateways.items())
        )

    def devices(self, now_s: float) -> list[DeviceView]:
        """All devices, the quiet ones first, then by name; one that was silent for a day is forgotten."""
        for key in [key for key, device in self._devices.items() if now_s - device.seen_s > FORGET_AFTER_S]:
            del self._devices[key]
        views = [
            DeviceView(
                device=name,
                asset=device.asset,
                gateway=gateway,
                age_s=round(max(0.0, now_s - device.seen_s), 1),
                quiet=device.quiet(now_s),
            )
            for (gateway, name), device in self._devices.items()
        ]
        return sorted(views, key=lambda view: (not view.quiet, view.device, view.gateway))


def _decode(gateway: str, payload: bytes) -> _Outline:
    if len(payload) > MAX_BYTES:
        raise Rejected(Reason.TOO_LARGE, f"{len(payload)} bytes")
    try:
        outline = _outlines.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(Reason.WRONG_SHAPE, str(error)[:200]) from None
    if outline.agent != gateway:
        raise Rejected(Reason.ID_MISMATCH, "the pack names another agent than its topic")
    return outline


def _count(values: msgspec.Raw) -> int:
    """How many values the columns `[[1.5,null],[2,3]]` hold: one more than commas, less the nulls."""
    text = bytes(values)
    return max(0, text.count(b",") + 1 - text.count(b"null")) if len(text) > 4 else 0
