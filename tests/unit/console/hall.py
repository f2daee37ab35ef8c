"""A made-up pump hall: speaks to an Overview as the agents of a site would, at a time that the test sets."""

from __future__ import annotations

from typing import Any

import msgspec

from edgemesh.console.overview import Overview
from edgemesh.console.snapshot import Snapshot
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import OrderState, Priority, WorkOrder
from edgemesh.model.samples import Batch, Record
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

S = 1_000_000_000
START_NS = 1_700_000_000 * S


class Hall:
    """Feeds `overview`; `now_s` is the time on every clock."""

    def __init__(self) -> None:
        self.overview = Overview("hall", broker="memory")
        self.topics = Topics("hall")
        self.now_s = 1000.0
        self._seq = 0
        self.overview.link(True, 0.0)

    @property
    def now_ns(self) -> int:
        return START_NS + int(self.now_s * S)

    def say(self, topic: str, content: msgspec.Struct | bytes, *, retained: bool = False) -> None:
        payload = content if isinstance(content, bytes) else codec.encode(content)
        self.overview.take(topic, payload, retained, self.now_s, self.now_ns)

    def pack(self, kind: str, agent: str, *records: Record, seq: int | None = None) -> None:
        self._seq = seq or self._seq + 1
        body = codec.encode_records(records)
        self.say(
            self.topics.log(kind, agent),
            codec.encode_pack(
                kind, agent=agent, epoch="a1", seq=self._seq, lowest=1, at_ns=self.now_ns, trace="", body=body
            ),
        )

    def look(self) -> Snapshot:
        return self.overview.snapshot(self.now_s, self.now_ns)

    def stand(self, *records: Alert | WorkOrder) -> None:
        """Say on the state topics that these stand now."""
        for record in records:
            make = self.topics.alert if isinstance(record, Alert) else self.topics.order
            self.say(make(record.id), record)

    def beat(
        self, agent: str, role: Role = Role.DETECTOR, *, beat: int = 1, retained: bool = False, **more: Any
    ) -> None:
        card = Card(agent=agent, role=role, state=Presence.UP, incarnation="first", beat=beat, **more)
        self.say(self.topics.card(agent), card, retained=retained)

    def batch(self, device: str, columns: tuple[tuple[float | None, ...], ...] = ((1.0,), (2.0,))) -> Batch:
        metrics = tuple(f"m{number}" for number in range(len(columns)))
        at_ns = tuple(self.now_ns + number for number in range(len(columns[0])))
        return Batch(
            device=device, asset=device, metrics=metrics, units=("1",) * len(metrics), at_ns=at_ns, values=columns
        )

    def alert(self, name: str, **more: Any) -> Alert:
        fields: dict[str, Any] = {
            "id": derive_id("alert", name),
            "version": 1,
            "asset": name,
            "kind": AlertKind.MACHINE,
            "state": AlertState.FIRING,
            "severity": Severity.WARNING,
            "cause": f"the flow of {name} is too low",
            "evidence": (
                Evidence(rule="limit", metric="flow", device=name, value=62.4, unit="m3/h", normal="87 .. 93"),
            ),
            "onset_at_ns": self.now_ns - 5 * S,
            "raised_at_ns": self.now_ns,
            "at_ns": self.now_ns,
            "gateway": "gateway-1",
        }
        return Alert(**(fields | more))

    def order(self, name: str, state: OrderState = OrderState.OPEN, **more: Any) -> WorkOrder:
        fields: dict[str, Any] = {
            "id": derive_id("order", name),
            "version": 1,
            "asset": name,
            "alert": derive_id("alert", name),
            "state": state,
            "title": f"Open the inlet valve of {name}",
            "cause": "flow",
            "priority": Priority.P2,
            "skills": {"fitter": 0.5},
            "at_ns": self.now_ns,
            "opened_at_ns": self.now_ns,
        }
        return WorkOrder(**(fields | more))


def busy_hall() -> Hall:
    """A hall in which one of everything is going on."""
    hall = Hall()
    for second in range(30):
        hall.now_s += 1.0
        for agent, role in (("gateway-1", Role.GATEWAY), ("detector-1", Role.DETECTOR), ("mara", Role.EXECUTOR)):
            hall.beat(agent, role, beat=second + 1)
        hall.pack("readings", "gateway-1", *(hall.batch(f"pump-{number}") for number in range(12)))
    alert = hall.alert("pump-3", severity=Severity.CRITICAL, cause="Inlet valve closing")
    order = hall.order("pump-3", OrderState.DISPATCHED, executor="mara", attempt=1)
    hall.pack("alerts", "detector-1", alert)
    hall.pack("orders", "scheduler-1", hall.order("pump-3"), order)
    hall.stand(alert, order)
    hall.pack("orders", "scheduler-1", hall.order("pump-9", OrderState.VERIFIED, executor="mara", attempt=1))
    return hall
