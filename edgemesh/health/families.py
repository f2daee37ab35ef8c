"""What Prometheus is told of agents: names, types, and where on an agent's card each number stands. Pure.

`docs/metrics.md` holds the same table, a test compares them. Labels are few: site, agent, role.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgemesh.health.exposition import Family
from edgemesh.health.readiness import Sight, reasons

MARKER = "<!-- table -->\n"
INFO = "edgemesh_agent_info"


@dataclass(frozen=True, slots=True)
class Told:
    """A number of an agent: `stat` is its name among the numbers of the card, `factor` brings it to base units."""

    kind: Literal["counter", "gauge"]
    about: str
    stat: str
    factor: float = 1.0


AGENTS: dict[str, Told] = {
    "edgemesh_ready": Told("gauge", "1: it does all it should, as /readyz says; 0: it does not", "ready"),
    "edgemesh_connected": Told("gauge", "1: the broker has accepted its connection; 0: it has none", "linked"),
    "edgemesh_packs_total": Told("counter", "packs taken in", "packs"),
    "edgemesh_records_total": Told("counter", "records written to its log", "records"),
    "edgemesh_readings_total": Told("counter", "readings accepted (gateway) or taken in (the others)", "readings"),
    "edgemesh_rejected_total": Told("counter", "items refused", "rejected"),
    "edgemesh_gaps_total": Told("counter", "gaps in the logs of others that were asked for", "gaps"),
    "edgemesh_rows_lost_total": Told("counter", "rows of the logs of others that are gone for good", "lost"),
    "edgemesh_rows_given_up_total": Told("counter", "those among them that came but could not be read", "given_up"),
    "edgemesh_log_lost_total": Told(
        "counter", "of its own log, gone for good though not every reader had it, ever", "lost_of_log"
    ),
    "edgemesh_log_damaged_rows_total": Told("counter", "damaged rows of its own log, ever", "damaged"),
    "edgemesh_readings_dropped_total": Told(
        "counter", "readings that gave way to newer ones, ever", "readings_dropped"
    ),
    "edgemesh_traces_ignored_total": Told(
        "counter", "traceparents of devices that could not be read (gateway)", "traces_ignored"
    ),
    "edgemesh_outbox_rows": Told("gauge", "rows held in its log", "outbox_rows"),
    "edgemesh_log_full_in_seconds": Told("gauge", "until its log is full; absent: it does not fill", "full_in_s"),
    "edgemesh_waiting_items": Told("gauge", "items that no step has finished", "waiting"),
    "edgemesh_halted_logs": Told("gauge", "logs that it can't read", "halted"),
    "edgemesh_namesakes": Told("gauge", "agents of the same name", "namesakes"),
    "edgemesh_clock_doubted": Told("gauge", "1: its clock is not believed; 0: it is", "clock_doubted"),
    "edgemesh_clock_turns_total": Told("counter", "how often its clock was put right", "clock_turns"),
    "edgemesh_mqtt_published_total": Told("counter", "messages published", "link_published"),
    "edgemesh_mqtt_received_total": Told("counter", "messages received", "link_received"),
    "edgemesh_mqtt_refused_total": Told("counter", "publishes for which there was no link or room", "link_refused"),
    "edgemesh_mqtt_disconnects_total": Told("counter", "links lost", "link_disconnects"),
    "edgemesh_disk_written_bytes_per_second": Told(
        "gauge", "written to its disk, as a mean", "written_mb_per_day", 1e6 / 86_400.0
    ),
    "edgemesh_commit_rest_seconds": Told("gauge", "pause between commits for a write budget", "commit_rest_ms", 1e-3),
    "edgemesh_influxdb_spool_lines": Told("gauge", "lines waiting for InfluxDB (recorder)", "spool_lines"),
    "edgemesh_influxdb_spool_bytes": Told("gauge", "what they take up", "spool_mb", 1e6),
    "edgemesh_influxdb_spool_age_seconds": Told("gauge", "the age of the oldest of them", "spool_age_s"),
    "edgemesh_influxdb_spool_dropped_total": Told("counter", "lines that gave way, ever", "spool_dropped"),
    "edgemesh_influxdb_lines_total": Told("counter", "lines that InfluxDB has taken", "influx_lines"),
    "edgemesh_influxdb_dead_total": Told("counter", "lines that InfluxDB has refused for good, ever", "influx_dead"),
    "edgemesh_influxdb_failing_seconds": Told("gauge", "for how long it has not taken any", "influx_failing_s"),
    "edgemesh_influxdb_series_refused_total": Told("counter", "series beyond `max_series`", "series_refused"),
}
"""By name. Counters are since the start of the agent unless they say `ever`."""

PROCESS: dict[str, tuple[Literal["counter", "gauge"], str]] = {
    "process_cpu_seconds_total": ("counter", "time on the processor, of the process"),
    "process_resident_memory_bytes": ("gauge", "memory that the process takes up (Linux)"),
    "process_start_time_seconds": ("gauge", "when it was started, since 1970 (UTC)"),
}
"""What is of the process: names and meaning are those of all Prometheus clients."""


def agent_families(site: str, agents: Iterable[Sight]) -> list[Family]:
    """The families of these agents, in the order of the table, the version first."""
    samples: dict[str, list[tuple[Mapping[str, str], float]]] = {name: [] for name in (INFO, *AGENTS)}
    for agent in agents:
        card, linked = agent.card(), agent.linked
        labels = {"site": site, "agent": card.agent, "role": card.role.value}
        samples[INFO].append((labels | {"version": card.version}, 1.0))
        numbers = card.stats | {
            "ready": float(not reasons(card, linked=linked)),
            "linked": float(linked),
            "lost_of_log": float(card.lost),
        }
        for name, told in AGENTS.items():
            if told.stat in numbers:
                samples[name].append((labels, numbers[told.stat] * told.factor))
    about = Family(INFO, "gauge", _INFO_ABOUT, tuple(samples[INFO]))
    return [about, *(Family(name, told.kind, told.about, tuple(samples[name])) for name, told in AGENTS.items())]


_INFO_ABOUT = "1, with the version of the agent as a label"


def process_families(cpu_s: float, memory: int | None, started_s: float) -> list[Family]:
    """The families of the process; `memory` in bytes, None where nobody knows."""
    values = (cpu_s, memory, started_s)
    return [
        Family(name, kind, about, (({}, float(value)),) if value is not None else ())
        for (name, (kind, about)), value in zip(PROCESS.items(), values, strict=True)
    ]


def markdown() -> str:
    """The table, as `docs/metrics.md` holds it."""
    rows = [(INFO, "gauge", _INFO_ABOUT)]
    rows += [(name, told.kind, told.about) for name, told in AGENTS.items()]
    rows += [(name, kind, about) for name, (kind, about) in PROCESS.items()]
    return "\n".join(["| | type | |", "|---|---|---|", *(f"| `{a}` | {b} | {c} |" for a, b, c in rows)]) + "\n"


def main() -> None:
    """Write the table anew into the document that is named: everything after its marker."""
    file = Path(sys.argv[1])
    text, marker, _ = file.read_text(encoding="utf-8").partition(MARKER)
    file.write_text(text + marker + markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
