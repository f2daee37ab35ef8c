"""Traces end to end: a small site on a broker in memory, and what `edgemesh trace` says of its alert."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from edgemesh.agents import runtime
from edgemesh.configuration.loading import load
from edgemesh.errors import ConfigError
from edgemesh.launch.plant import journal_file
from edgemesh.launch.trace import Trace, lines_of, trace
from edgemesh.model.spans import Span
from edgemesh.store.history import History
from tests.unit.launch.small_plant import FILE, SmallPlant, small_plant

Until = Callable[..., Awaitable[None]]
CHAIN = [
    "sample",
    "commit readings",
    "publish readings",
    "receive readings",
    "score",
    "alert",
    "publish alerts",
    "receive alerts",
    "triage",
    "dispatch",
]
AFTERWARDS = ["answer", "answer", "work", "verify"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats and ticks ten times as often."""
    monkeypatch.setattr(runtime, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(runtime, "TICK_S", 0.025)


def _names(plant: SmallPlant) -> list[str]:
    file = journal_file(plant.configuration.data, "recorder")
    with History(file) as history:
        if not history.alerts():
            return []
    return [span.name for span in trace("last", file).spans]


def _told(folder: Path, until: Until) -> tuple[Trace, Trace]:
    """What is told of the alert and of its order, once everything has been."""

    async def body() -> tuple[Trace, Trace]:
        async with small_plant(folder) as plant:
            await until(plant.is_verified, 20)
            await until(lambda: {*CHAIN, *AFTERWARDS} <= set(_names(plant)), 5)
            file = journal_file(plant.configuration.data, "recorder")
            return trace("last", file), trace(plant.history()[1][0].id, file)

    return asyncio.run(body())


def test_one_trace_runs_from_the_sample_to_the_verification(tmp_path: Path, until: Until) -> None:
    """Each stage is there once, is the child of the one before it, and says who did it; nothing was sampled for it."""
    told, of_order = _told(tmp_path, until)
    first = {span.name: span for span in reversed(told.spans)}
    chain = [first[name] for name in CHAIN]
    assert [span.parent for span in chain[1:]] == [span.span_id for span in chain[:-1]]
    assert [span.name for span in told.spans if span.name in AFTERWARDS] == AFTERWARDS
    assert {span.agent for span in told.spans} == {"gateway-1", "detector-1", "scheduler", "ana"}
    assert len({span.trace_id for span in told.spans}) == 1 == len(told.traces)
    assert [first[name].parent for name in ("answer", "work", "verify")] == [first["dispatch"].span_id] * 3
    assert all(span.end_ns <= later.end_ns for span, later in pairwise(chain))
    assert not any(span.error for span in told.spans)
    assert of_order.spans == told.spans
    measured: list[Span] = [first["commit readings"], first["score"], first["alert"]]
    assert all(span.duration_ns > 0 for span in measured)
    text = "\n".join(lines_of(told))
    assert "gateway-1 → detector-1 → scheduler → ana" in text


def _rows(folder: Path, until: Until, traces: str) -> list[tuple[str, str]]:
    """Name and role of all spans of a site whose machine is well, after 30 samples; as `[traces]` says."""

    async def body() -> list[tuple[str, str]]:
        async with small_plant(folder, more=traces) as plant:
            plant.device.healthy = 10**6
            file = journal_file(plant.configuration.data, "recorder")

            def spans() -> list[Span]:
                with History(file) as history:
                    return history.spans("")

            await until(lambda: plant.device.taken > 30, 10)
            if "share = 1.0" in traces:
                await until(lambda: "score" in {span.name for span in spans()}, 10)
            return [(span.name, span.role.value) for span in spans()]

    folder.mkdir(exist_ok=True)
    return asyncio.run(body())


def test_what_is_usual_is_seen_where_the_share_says_so(tmp_path: Path, until: Until) -> None:
    """All rows are recorded from the head at 100 %, none at 0; nothing at all where traces are off."""
    told = _rows(tmp_path / "all", until, "[traces]\nshare = 1.0")
    assert {
        ("sample", "gateway"),
        ("commit readings", "gateway"),
        ("publish readings", "gateway"),
        ("receive readings", "detector"),
        ("score", "detector"),
    } <= set(told)
    assert _rows(tmp_path / "none", until, "[traces]\nshare = 0.0") == []
    assert _rows(tmp_path / "off", until, "[traces]\non = false") == []


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("[traces]\nshare = 5.0", "share"),
        ('[traces]\notlp = "ftp://collector"', "otlp"),
        ('[traces]\notlp = "http://user:word@collector:4318"', "otlp"),
        ('[traces]\notlp = "http://c:4318"\notlp_headers = "word"', "traces: `otlp_headers`: header 1 is not"),
        ('[traces]\notlp_headers = "a=word"', "traces: `otlp_headers` are for a collector"),
        ('[traces]\ntrace_ids_as_tags = true\n[influxdb]\norg = "o"', "traces.trace_ids_as_tags: exhausts a server"),
    ],
)
def test_what_traces_can_not_be_is_refused_at_the_start(tmp_path: Path, more: str, problem: str) -> None:
    """With the key that is wrong; a secret in an address is refused, as it would be said in logs."""
    file = tmp_path / "small.toml"
    file.write_text(FILE.format(data=tmp_path) + more)
    with pytest.raises(ConfigError, match=problem) as refused:
        load(file)
    assert "word" not in str(refused.value)
