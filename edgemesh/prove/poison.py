"""A program with a fault that only certain input brings out: every core and sink raises on what names `poison`.

`edgemesh.prove.broken --poison` puts it into one process, as a bug of tomorrow would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from edgemesh.prove.guards import swap

NAME = "poison"


class PoisonedError(RuntimeError):
    """What a bug raises."""


def arm() -> None:
    """Have every core and sink of this process raise on poison."""
    from edgemesh.agents.detector import DetectorCore
    from edgemesh.agents.registry import RegistryCore
    from edgemesh.agents.scheduler import SchedulerCore
    from edgemesh.store.history import HistorySink

    for core in (DetectorCore, SchedulerCore, RegistryCore):
        swap(core, "handle", _raising)
    swap(DetectorCore, "meet", _raising)
    swap(HistorySink, "write", _raising_on_packs)


def _raising(original: Any) -> Any:
    def call(self: Any, given: Any) -> Any:
        refuse(getattr(given, "records", (given,)))
        return original(self, given)

    return call


def _raising_on_packs(original: Any) -> Any:
    def write(self: Any, connection: Any, packs: Sequence[Any]) -> None:
        for pack in packs:
            refuse(pack.records)
        original(self, connection, packs)

    return write


def refuse(records: Iterable[Any]) -> None:
    """Raise where one of the records is about an asset, or by an agent, of that name."""
    for record in records:
        if NAME in (getattr(record, "asset", ""), getattr(record, "agent", ""), getattr(record, "executor", "")):
            raise PoisonedError(f"{type(record).__name__} of {NAME}")
