"""Alert rules, as Grafana's files for provisioning hold them: a query, its value, and the limit that it is held to.

edgemesh raises alerts about machines by itself; these rules watch over edgemesh, and over what it could not settle.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from grafana.generator import boards
from grafana.generator.influxql import select, series

Json = dict[str, Any]

FOLDER = "edgemesh"
SOURCE_UID = "edgemesh"
RUNBOOKS = "/public/runbooks"
"""Where `docs/runbooks` is served: configs/compose.yaml puts it below Grafana's own files."""
_EXPRESSION = {"type": "__expr__", "uid": "__expr__"}


class Rule(NamedTuple):
    """A rule: `value` of the query, reduced by `reducer` over the last `back_s`, compared with `limit` for `hold`.

    `summary` is what a message says, with the labels of the series in it; `board` and `panel` are what shows it.
    `no_data`: what it means that there is nothing: OK, Alerting or NoData.
    """

    name: str
    title: str
    summary: str
    query: str
    reducer: str
    compare: str
    limit: float
    hold: str
    severity: str
    board: str
    panel: str
    back_s: int = 600
    step_s: int = 60
    no_data: str = "OK"


# Where silence is the sign, empty steps count as 0: a series that only ends would be taken for one that is well again.
RULES = (
    Rule(
        "device-silent",
        "Device silent",
        "{{ $labels.device }} of {{ $labels.asset }} gave no reading for five minutes",
        series('count("value")', "reading", by="site asset device", fill="0"),
        "last", "lt", 1, "5m", "warning", "devices", "Last heard", back_s=21_600, step_s=300,
    ),
    Rule(
        "agent-down",
        "Agent down",
        "{{ $labels.agent }} ({{ $labels.role }}) is down",
        series('last("up")', "agent_health", "\"role\" != 'executor'", by="site role agent"),
        "last", "lt", 1, "1m", "critical", "agents", "Heartbeats",
    ),
    Rule(
        "agent-trouble",
        "Agent in trouble",
        "{{ $labels.agent }} ({{ $labels.role }}) says that it can't do its work",
        select('count("trouble")', "agent_health", by="site role agent"),
        "last", "gt", 0, "2m", "warning", "agents", "Trouble", back_s=120,
    ),
    Rule(
        "agent-lag",
        "Agent does not keep up",
        "{{ $labels.agent }} ({{ $labels.role }}) never had fewer than 1,000 items before it in five minutes",
        series('min("waiting")', "agent_health", by="site role agent"),
        "min", "gt", 1000, "5m", "warning", "agents", "Lag: items waiting", back_s=300,
    ),
    Rule(
        "log-full",
        "Log full within a day",
        "the log of {{ $labels.agent }} is full within a day; then its oldest readings give way",
        series('min("full_in_s")', "agent_health", by="site role agent"),
        "last", "lt", 86_400, "10m", "warning", "agents", "First log full in", back_s=120,
    ),
    Rule(
        "spool-growing",
        "Spool growing",
        "lines wait for InfluxDB for more than five minutes",
        series('max("spool_age_s")', "pipeline", "\"role\" = 'recorder'", by="site agent"),
        "last", "gt", 300, "5m", "warning", "pipeline", "Spool",
    ),
    Rule(
        "writer-failing",
        "Writer failing",
        "InfluxDB hears nothing from the recorder",
        series('count("influx_lines")', "pipeline", "\"role\" = 'recorder'", by="site agent", fill="0"),
        "last", "lt", 1, "2m", "critical", "pipeline", "Lines per second", back_s=21_600, step_s=300,
        no_data="Alerting",
    ),
    Rule(
        "lines-refused",
        "Lines refused",
        "InfluxDB refuses lines for good",
        select('spread("influx_dead")', "pipeline", "\"role\" = 'recorder'", by="site agent"),
        "last", "gt", 0, "0s", "warning", "pipeline", "Lines refused for good",
    ),
    Rule(
        "order-late",
        "Work order beyond its deadline",
        "an order for {{ $labels.asset }} went to a next executor, or nobody is left who could take it",
        select('count("version")', "workorder", '("attempt" > 1 OR "escalated" = 1)', by="site asset"),
        "last", "gt", 0, "0s", "warning", "workorders", "Handed on",
    ),
)  # fmt: skip


def rules() -> list[Json]:
    """Every rule as Grafana wants it."""
    return [_made(rule) for rule in RULES]


def provisioning() -> Json:
    """The file of alert rules."""
    group = {"folder": FOLDER, "interval": "1m", "name": "edgemesh", "orgId": 1, "rules": rules()}
    return {"apiVersion": 1, "groups": [group]}


def _made(rule: Rule) -> Json:
    return {
        "uid": f"edgemesh-{rule.name}",
        "title": rule.title,
        "condition": "C",
        "data": [_query(rule), _reduced(rule), _limit(rule)],
        "noDataState": rule.no_data,
        "execErrState": "Error",
        "for": rule.hold,
        "annotations": {
            "summary": rule.summary,
            "runbook_url": f"{RUNBOOKS}/{rule.name}.md",
            "__dashboardUid__": f"edgemesh-{rule.board}",
            "__panelId__": str(_panel_id(rule)),
        },
        "labels": {"severity": rule.severity},
        "isPaused": False,
    }


def _panel_id(rule: Rule) -> int:
    board: Json = boards.make(rule.board)
    (found,) = [panel["id"] for panel in board["panels"] if panel["title"] == rule.panel]
    return int(found)


def _query(rule: Rule) -> Json:
    model = {
        "datasource": {"type": "influxdb", "uid": SOURCE_UID},
        "intervalMs": 1000 * rule.step_s,
        "maxDataPoints": 43_200,
        "query": rule.query,
        "rawQuery": True,
        "refId": "A",
        "resultFormat": "time_series",
    }
    return {
        "refId": "A",
        "relativeTimeRange": {"from": rule.back_s, "to": 0},
        "datasourceUid": SOURCE_UID,
        "model": model,
    }


def _reduced(rule: Rule) -> Json:
    model = {
        "datasource": _EXPRESSION,
        "expression": "A",
        "reducer": rule.reducer,
        "refId": "B",
        "settings": {"mode": "dropNN"},
        "type": "reduce",
    }
    return _expression("B", model)


def _limit(rule: Rule) -> Json:
    evaluator = {"params": [rule.limit], "type": rule.compare}
    model = {
        "conditions": [{"evaluator": evaluator}],
        "datasource": _EXPRESSION,
        "expression": "B",
        "refId": "C",
        "type": "threshold",
    }
    return _expression("C", model)


def _expression(ref: str, model: Json) -> Json:
    return {
        "refId": ref,
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": "__expr__",
        "model": model,
    }
