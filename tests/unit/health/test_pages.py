"""What a process shows of its agents to Prometheus and to who watches processes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from edgemesh.health import families
from edgemesh.health.exposition import OPEN_METRICS, TEXT, Family, content_type, render
from edgemesh.health.pages import make_pages
from edgemesh.health.responder import Page
from edgemesh.model.agents import Card, Role
from edgemesh.testing import make_card
from tests.unit.launch.small_plant import small_plant

Until = Callable[..., Awaitable[None]]
DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"


class Seen:
    """An agent with this card."""

    def __init__(self, card: Card, *, linked: bool = True) -> None:
        self._card, self.linked = card, linked

    def card(self) -> Card:
        return self._card


def pages(*seen: Seen) -> dict[str, Page]:
    return dict(make_pages("hall-1", lambda: seen))


def everything() -> Card:
    """A card with every number that a card may have."""
    return msgspec.structs.replace(
        make_card("gw", role=Role.GATEWAY), stats={told.stat: 1.0 for told in families.AGENTS.values()}
    )


def names_in_document() -> set[str]:
    return set(re.findall(r"^\| `([a-z_]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))


def sample_names(text: str) -> Iterator[str]:
    for family in parse(text):
        yield from (sample.name for sample in family.samples)


def numbers(pages: dict[str, Page]) -> dict[str, float]:
    """What is served of one agent, by name."""
    text = pages["/metrics"]("").body
    return {sample.name: sample.value for family in parse(text) for sample in family.samples}


def test_the_document_says_what_is_served() -> None:
    """Every name that is served stands in docs/metrics.md with its type and meaning, and no other does."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.partition(families.MARKER)[2] == families.markdown()
    served = set(sample_names(pages(Seen(everything()))["/metrics"]("").body))
    assert served == names_in_document()


def test_a_plant_is_read_by_prometheus_own_parser(tmp_path: Path, until: Until) -> None:
    """What running agents count arrives as numbers, by agent, under names that the document has."""

    async def body() -> tuple[str, str, int]:
        async with small_plant(tmp_path) as small:
            agents = {name: agent for part in small.parts.values() for name, agent in part.agents.items()}
            both = make_pages("small", agents.values)
            await until(lambda: agents["gateway-1"].engine.stats.readings > 5 and agents["recorder"].linked)
            return both["/metrics"]("").body, both["/metrics"](OPEN_METRICS).body, both["/readyz"]("").status

    text, open_text, ready = asyncio.run(body())
    assert ready == 200
    assert set(sample_names(text)) <= names_in_document()
    found = {(sample.name, sample.labels.get("agent")): sample for each in parse(text) for sample in each.samples}
    readings = found["edgemesh_readings_total", "gateway-1"]
    assert readings.labels == {"site": "small", "agent": "gateway-1", "role": "gateway"}
    assert readings.value > 5
    assert found["edgemesh_connected", "detector-1"].value == 1
    assert found["process_cpu_seconds_total", None].value > 0
    again = {sample.name for each in parse_open(open_text) for sample in each.samples}  # type: ignore[no-untyped-call]
    assert again == set(sample_names(text))


@pytest.mark.parametrize("name", [*families.AGENTS, *families.PROCESS, families.INFO])
def test_names_follow_the_conventions(name: str) -> None:
    """A counter ends with `_total` and nothing else does; units are base units."""
    kinds: dict[str, str] = {name: told.kind for name, told in families.AGENTS.items()}
    kinds |= {families.INFO: "gauge"} | {name: kind for name, (kind, _) in families.PROCESS.items()}
    kind = kinds[name]
    assert name.endswith("_total") == (kind == "counter")
    assert not re.search(r"_(ms|mb|kb|minutes|days)(_|$)", name)


def test_units_are_brought_to_base_units() -> None:
    """Megabytes a day, megabytes and milliseconds of the card are bytes and seconds for Prometheus."""
    card = msgspec.structs.replace(
        make_card("rec"), stats={"written_mb_per_day": 86.4, "spool_mb": 2.5, "commit_rest_ms": 250.0}
    )
    found = numbers(pages(Seen(card)))
    assert found["edgemesh_disk_written_bytes_per_second"] == pytest.approx(1_000.0)
    assert found["edgemesh_influxdb_spool_bytes"] == 2_500_000
    assert found["edgemesh_commit_rest_seconds"] == 0.25


@given(text=st.text(st.characters(exclude_categories=["Cs"])), value=st.floats())
def test_any_text_and_number_is_read_back(text: str, value: float) -> None:
    """Label values and numbers come out of Prometheus' parser as they went in."""
    family = Family("edgemesh_x_total", "counter", text, (({"agent": text}, value),))
    (told,) = parse(render([family]))
    (sample,) = told.samples
    assert sample.labels == {"agent": text}
    assert sample.value == value or value != value


def test_the_form_is_what_the_client_accepts() -> None:
    """OpenMetrics only for who names it."""
    assert content_type("application/openmetrics-text;version=1.0.0,text/plain;q=0.5") == OPEN_METRICS
    assert content_type("text/plain") == content_type("") == TEXT


@pytest.mark.parametrize(
    ("change", "linked", "why"),
    [
        ({}, False, "gw: not connected to the broker\n"),
        ({"trouble": "can't keep what comes in: disk"}, True, "gw: can't keep what comes in: disk\n"),
        ({"stats": {"halted": 2.0}}, True, "gw: can't read the log of 2 agents\n"),
    ],
)
def test_readyz_says_why_not(change: dict[str, object], linked: bool, why: str) -> None:
    """No link, trouble with the log and a log that can't be read are each 503 with the reason; `healthz` stays well."""
    card = msgspec.structs.replace(make_card("gw"), **change)
    both = pages(Seen(card, linked=linked))
    assert (both["/readyz"]("").status, both["/readyz"]("").body) == (503, why)
    assert both["/healthz"]("").status == 200
    assert numbers(both)["edgemesh_ready"] == 0


def test_a_notice_is_no_reason() -> None:
    """What harms nothing so far leaves an agent ready."""
    card = msgspec.structs.replace(make_card("gw"), notice="InfluxDB does not answer; lines wait")
    assert pages(Seen(card))["/readyz"]("").body == "ready\n"
