"""Snapshots: what is going on at one instant, as pages and terminals show it.

Every text is printable and short, every list is bounded (`totals` holds the full counts), ages are seconds on the
receiver's clock.
"""

from __future__ import annotations

import msgspec

STEPS = ("open", "dispatched", "accepted", "in_progress", "done", "verified")


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything a snapshot holds."""


class AgentView(View, frozen=True, kw_only=True):
    """One agent. `presence` is up, down or unknown (only a retained card so far), `age_s` counts from its last beat.

    `trouble` is what it says that it can't do now, or what goes badly.
    """

    agent: str
    role: str
    presence: str
    age_s: float | None
    uptime_s: float | None
    load: int
    max_load: int
    version: str
    skills: tuple[str, ...]
    stats: dict[str, float]
    trouble: str = ""


class GatewayView(View, frozen=True, kw_only=True):
    """What one gateway delivers: readings a second, readings since the start, and the detector that owns its log."""

    gateway: str
    per_s: float
    readings: int
    owner: str | None


class DeviceView(View, frozen=True, kw_only=True):
    """One device. `age_s` counts from its last values; `quiet`: for longer than it is used to."""

    device: str
    asset: str
    gateway: str
    age_s: float
    quiet: bool


class EvidenceView(View, frozen=True, kw_only=True):
    """One metric's part in an alert; `score` 1.0 is just at the limit, high is strange."""

    device: str
    metric: str
    rule: str
    value: float | None
    unit: str
    normal: str
    score: float


class AlertView(View, frozen=True, kw_only=True):
    """One alert; `age_s` since it was raised, `lasted_s` from its onset to its end once it is cleared.

    `stage` is `gateway` where it is provisional, `review` then what the site has said of it (empty: nothing yet).
    """

    id: str
    asset: str
    kind: str
    state: str
    severity: str
    cause: str
    gateway: str
    age_s: float
    lasted_s: float | None
    evidence: tuple[EvidenceView, ...]
    consequence: str = ""
    action: str = ""
    stage: str = "site"
    review: str = ""


class OrderView(View, frozen=True, kw_only=True):
    """One work order. `step` is how far along STEPS it is; `due_s` until its deadline, negative when that is past.

    `age_s` since it was opened, `took_s` from there to its end once it is over.
    """

    id: str
    asset: str
    title: str
    cause: str
    state: str
    step: int
    priority: str
    executor: str | None
    attempt: int
    tried: tuple[str, ...]
    escalated: bool
    reopened: int
    note: str
    age_s: float
    due_s: float | None
    took_s: float | None


class Event(View, frozen=True, kw_only=True):
    """One line of the story. `number` rises by one, `mark` says it in a word: `critical`, `dispatched`, `down`."""

    number: int
    at_ns: int
    mark: str
    subject: str
    text: str


class Totals(View, frozen=True, kw_only=True):
    """Full counts, also where a list was cut short."""

    agents: int = 0
    agents_up: int = 0
    devices: int = 0
    devices_quiet: int = 0
    alerts: int = 0
    critical: int = 0
    orders: int = 0
    escalated: int = 0
    readings: int = 0
    verified: int = 0


class Snapshot(View, frozen=True, kw_only=True):
    """What is going on at `at_ns` (UTC). `trail` is readings a second at the last 60 whole seconds, oldest first.

    `linked` is False while the broker can't be reached: the rest is then what was last known. Orders are sorted by
    urgency, alerts by severity, agents by trouble and name, closed and cleared newest first, the story oldest first.
    """

    site: str
    broker: str
    linked: bool
    at_ns: int
    per_s: float
    trail: tuple[float, ...]
    totals: Totals
    gateways: tuple[GatewayView, ...] = ()
    agents: tuple[AgentView, ...] = ()
    devices: tuple[DeviceView, ...] = ()
    alerts: tuple[AlertView, ...] = ()
    orders: tuple[OrderView, ...] = ()
    closed: tuple[OrderView, ...] = ()
    cleared: tuple[AlertView, ...] = ()
    story: tuple[Event, ...] = ()
    rejected: dict[str, int] = {}
