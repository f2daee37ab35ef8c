"""How a site bears up while something is wrong: memory, links, and how fast alerts become orders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgemesh.launch.plant import journal_file
from edgemesh.prove.site import Program, Site
from edgemesh.store.history import History

LOST_LINK = "connection lost"
FLAT_MB = 16.0
"""A process whose memory is flat has grown by less than this since it was warm."""


def resident_mb(program: Program) -> float:
    """The memory that a running program holds now; 0 when it does not run."""
    if program.process is None or program.process.returncode is not None:
        return 0.0
    try:
        pages = int(Path(f"/proc/{program.process.pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def lost_links(site: Site, names: Sequence[str]) -> int:
    """How often these programs have said that their connection was lost."""
    return sum(site.programs[name].log.read_text(errors="replace").count(LOST_LINK) for name in names)


@dataclass(slots=True)
class Growth:
    """How much memory programs have taken since `begin`, which should be called when they are warm."""

    site: Site
    names: tuple[str, ...]
    _before: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Take note of what they hold now."""
        self._before = {name: resident_mb(self.site.programs[name]) for name in self.names}

    def grown_mb(self) -> dict[str, float]:
        """By program, how much more it holds now."""
        return {name: round(resident_mb(self.site.programs[name]) - self._before[name], 1) for name in self.names}


def alerts_to_orders_s(site: Site, gateway: str, since_ns: int, until_ns: int) -> list[float]:
    """From the sample that made an alert fire to the scheduler's order, for each alert of a gateway in that time."""
    with History(journal_file(site.folder / "data", "recorder")) as history:
        raised = {alert.id: alert.raised_at_ns for alert in history.alerts(limit=1_000_000) if alert.gateway == gateway}
        orders = history.orders(limit=1_000_000)
    return [
        (order.opened_at_ns - raised[order.alert]) / 1e9
        for order in orders
        if order.alert in raised and since_ns <= raised[order.alert] < until_ns
    ]
