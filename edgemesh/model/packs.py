"""Packs: what one outbox row and one MQTT message hold."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgemesh.model.agents import Card, Count, Epoch
from edgemesh.model.alerts import Alert
from edgemesh.model.ids import Id
from edgemesh.model.orders import Answer, WorkOrder
from edgemesh.model.samples import At, Batch, Record, Retimed

Sequence = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Header(Record, frozen=True, kw_only=True):
    """Where a pack stands in the log of its agent.

    `epoch` names the outbox file, `seq` rises by one per row, `lowest` is the oldest row that the outbox still holds.
    `at_ns` is the agent's clock at the commit, `trace` a W3C traceparent or empty. `live` is the first row that is not
    late: those before it were waiting when the producer's link or a reader came back, and it may come before them; 0:
    none is late. Only in logs of readings. `commit_us` and `publish_us` say when the row was on the disk, and when it
    was published this time, in microseconds after `at_ns` by the same clock; 0: nobody has measured it.
    """

    agent: Id
    epoch: Epoch
    seq: Sequence
    lowest: Sequence
    at_ns: At
    trace: Annotated[str, Meta(max_length=64)] = ""
    live: Count = 0
    commit_us: Count = 0
    publish_us: Count = 0
    v: Literal[1] = 1


class Readings(Header, frozen=True, kw_only=True, tag_field="kind", tag="readings"):
    """A pack of a gateway's log: batches, or what is now known about the times of batches before it."""

    records: tuple[Batch, ...]
    retimed: tuple[Retimed, ...] = ()


class Alerts(Header, frozen=True, kw_only=True, tag_field="kind", tag="alerts"):
    """A pack of a detector's log."""

    records: tuple[Alert, ...]


class Orders(Header, frozen=True, kw_only=True, tag_field="kind", tag="orders"):
    """A pack of a scheduler's log."""

    records: tuple[WorkOrder, ...]


class Answers(msgspec.Struct, frozen=True):
    """Answers of plain executors: they have no log, so no header; each answer counts once by its content."""

    records: tuple[Answer, ...]


class Cards(msgspec.Struct, frozen=True):
    """Agents whose presence or self-description has changed, as the receiver judges it by its own clock."""

    records: tuple[Card, ...]


Pack = Readings | Alerts | Orders
