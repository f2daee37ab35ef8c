"""Every query of the dashboards and alert rules on a real InfluxDB 1.6.7 that a real site has filled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from grafana.awaited import AWAITED
from grafana.generator.boards.traces import COLUMNS
from grafana.generator.files import dashboards
from grafana.observe.__main__ import look_around, table
from grafana.observe.expectations import EVERY, QUIET
from grafana.observe.frames import columns_of, rows_of, transform
from grafana.observe.look import Finding, Lens
from grafana.observe.macros import fill
from grafana.observe.plant import BUCKET, LONG, play
from grafana.observe.server import Influx, Refused, influxd
from tests.services.made_lines import SPANS, TRACE, lines, rollups
from tests.services.test_influxdb import need

MADE, MADE_LONG, EMPTY = "made", "made-long", "empty"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    """InfluxDB 1.x with the databases of the site, of made lines, and an empty one."""
    program = need("influxd", "influxdb")
    with influxd(program, tmp_path_factory.mktemp("influxd"), BUCKET, LONG, MADE, MADE_LONG, EMPTY) as started:
        yield started


@pytest.fixture(scope="module")
def played(server: Influx, tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """What the dashboards find after a real site has run for a while."""
    began_ms = now_ms()
    play(server, tmp_path_factory.mktemp("plant"))
    return look_around(Lens(server, {"${source}": BUCKET, "${long}": LONG}, began_ms, now_ms()))


@pytest.fixture(scope="module")
def made(server: Influx) -> Lens:
    """A look at lines that a healthy site does not write."""
    at_ns = time.time_ns()
    server.write(lines(at_ns), MADE)
    server.write(rollups(at_ns), MADE_LONG)
    at_ms = at_ns // 1_000_000
    return Lens(server, {"${source}": MADE, "${long}": MADE_LONG}, at_ms - 60_000, at_ms)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_everything_finds_rows_that_should(played: list[Finding]) -> None:
    """Panels, variables, annotations and alert rules, with one value of each variable, with two and with all."""
    assert [each for each in played if not each.is_good] == [], table(played)
    assert sum(each.all > 0 for each in played) > 90


def test_what_is_quiet_at_a_healthy_site_can_find_rows(made: Lens) -> None:
    """Each panel that is excused above finds something once there is something, also what nothing writes yet."""
    excused = [each for each in look_around(made) if each.excuse]
    assert [(each.board, each.what) for each in excused if not min(each.one, each.two, each.all)] == []
    boards = {*dashboards(), "alert rules"}
    named = {(board, each.what) for each in excused for board in (each.board, EVERY)}
    assert all(board in boards | {EVERY} and (board, what) in named for board, what in QUIET)
    assert any("spans" in each.excuse for each in excused) or not AWAITED


def test_a_server_without_data_is_noticed(server: Influx) -> None:
    """Nothing counts as found where there is nothing, and the table says so."""
    found = look_around(Lens(server, {"${source}": EMPTY, "${long}": EMPTY}, now_ms() - 60_000, now_ms()))
    assert not any(each.all for each in found)
    assert sum(not each.is_good for each in found) > 90
    assert "EMPTY" in table(found)


def test_a_statement_that_the_server_does_not_know_is_noticed(server: Influx) -> None:
    """Its reason is in the error."""
    with pytest.raises(Refused, match="SELEC"):
        server.ask("SELEC 1", EMPTY)
    with pytest.raises(Refused, match="undefined function"):
        server.ask('SELECT nothing("up") FROM "agent_health"', EMPTY)


def test_the_trace_panel_gets_its_seven_columns(made: Lens) -> None:
    """Ids and names as texts, start and duration in milliseconds, to the microsecond, and nothing else."""
    (panel,) = [each for each in dashboards()["traces"]["panels"] if each["type"] == "traces"]
    values: dict[str, Any] = {"trace": TRACE}
    (target,) = panel["targets"]
    text = fill(target["query"], start_ms=made.start_ms, end_ms=made.end_ms, interval="5s", values=values)
    series = made.server.ask(text, MADE)
    rows, columns = transform(rows_of(series), columns_of(series), panel["transformations"])
    assert set(columns) == {*COLUMNS.values(), "startTime", "duration"}
    assert len(rows) == len(SPANS)
    first, second = sorted(rows, key=lambda row: row["startTime"])
    assert first == {
        "traceID": TRACE,
        "spanID": "a1",
        "parentSpanID": None,
        "operationName": "commit",
        "serviceName": "gateway-1",
        "startTime": 10_000_000.0,
        "duration": 4.0,
    }
    assert (second["parentSpanID"], second["duration"]) == ("a1", 0.0015)
    assert second["startTime"] - first["startTime"] == pytest.approx(5.0)
    assert panel["fieldConfig"]["defaults"]["unit"] == "ms"
