"""The pages `/metrics`, `/healthz` and `/readyz` of a process with agents."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edgemesh.health.exposition import content_type, render
from edgemesh.health.families import agent_families, process_families
from edgemesh.health.readiness import Sight, reasons
from edgemesh.health.responder import Page, Reply

_STATM = Path("/proc/self/statm")


def make_pages(site: str, agents: Callable[[], Iterable[Sight]]) -> Mapping[str, Page]:
    """The pages by their path. They are made anew for each request, from what the agents count anyway.

    `/healthz` says that the loop comes round: who does not hear it in time may start the process anew. `/readyz` is 503
    while an agent can't do all it should, with the reasons line by line: a restart does not help there.
    """
    started_s = time.time()

    def metrics(accept: str) -> Reply:
        form = content_type(accept)
        families = [*agent_families(site, agents()), *process_families(_cpu_s(), _memory(), started_s)]
        return Reply(render(families, form), type=form)

    def healthz(_accept: str) -> Reply:
        return Reply("ok\n")

    def readyz(_accept: str) -> Reply:
        lines = []
        for agent in agents():
            card = agent.card()
            lines += [f"{card.agent}: {reason}\n" for reason in reasons(card, linked=agent.linked)]
        return Reply("".join(lines), 503) if lines else Reply("ready\n")

    return {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _memory() -> int | None:
    """What the process holds in memory, bytes; None where there is no /proc."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
