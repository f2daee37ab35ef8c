"""The card of an agent: its retained self-description, heartbeat and Last Will."""

from __future__ import annotations

import edgemesh
from edgemesh.agents.engine import Engine
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.wire import codec

HEARTBEAT_S = 1.0
TEXT = 256


def make_card(
    engine: Engine,
    role: Role,
    *,
    state: Presence,
    incarnation: str,
    beat: int,
    stats: dict[str, float],
    trouble: str = "",
    notice: str = "",
    lost: int = 0,
) -> bytes:
    """The card as bytes; `stats` are added to the engine's own health numbers."""
    journal, counted = engine.journal, engine.stats
    return codec.encode(
        Card(
            agent=journal.agent,
            role=role,
            state=state,
            incarnation=incarnation,
            beat=beat,
            heartbeat_s=HEARTBEAT_S,
            version=edgemesh.__version__,
            epoch=journal.epoch if engine.writes else "",
            head=journal.head if engine.writes else 0,
            trouble=trouble[:TEXT],
            notice=notice[:TEXT],
            lost=lost,
            stats={
                "packs": float(counted.packs),
                "records": float(counted.records),
                "readings": float(counted.readings),
                "rejected": float(counted.rejected),
                "gaps": float(counted.gaps),
                "lost": float(counted.lost),
                "given_up": float(counted.given_up),
                "outbox_rows": float(journal.head - journal.lowest + 1),
                **stats,
            },
        )
    )


def make_will(engine: Engine, role: Role, incarnation: str) -> bytes:
    """The card that a Last Will leaves behind."""
    return make_card(engine, role, state=Presence.DOWN, incarnation=incarnation, beat=0, stats={})
