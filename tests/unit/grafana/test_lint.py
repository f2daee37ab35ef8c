"""The rules hold for every dashboard, and each of them notices what it is for."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from edgemesh.store.influx.measurements import MEASUREMENTS
from grafana.awaited import AWAITED
from grafana.checks.lint import RULES, lint
from grafana.checks.queries import FORBIDDEN
from grafana.generator.alerts import rules
from grafana.generator.files import dashboards

Json = dict[str, Any]
BOARDS = dashboards()


def target(**changes: Any) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        board["panels"][0]["targets"][0] |= changes

    return change


def query(text: str) -> Callable[[Json], None]:
    """Give the first panel, which shows rows, another statement."""
    return target(query=text)


def annotation(**changes: Any) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        board["annotations"]["list"][0]["target"] |= changes

    return change


def panel(**changes: Any) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        board["panels"][0] |= changes

    return change


def default(**changes: Any) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        board["panels"][0]["fieldConfig"]["defaults"] |= changes

    return change


def variable(**changes: Any) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        board["templating"]["list"][1] |= changes

    return change


def link(url: str) -> Callable[[Json], None]:
    return default(links=[{"title": "x", "url": url, "targetBlank": False}])


STATEMENTS = {"has_time_filter", "has_interval", "is_shared", "is_anywhere", "takes_many", "knows_columns"}
KEPT = "${__url_time_range}&${source:queryparam}"
BREACHES: list[tuple[str, Callable[[Json], None]]] = [
    ("has_words", panel(title="")),
    ("has_words", panel(description="")),
    ("has_words", default(noValue="")),
    ("has_words", variable(description="")),
    ("has_words", lambda board: board.update(description="")),
    ("has_units", default(unit="")),
    ("has_units", default(thresholds={"mode": "absolute", "steps": []})),
    ("defines_variables", panel(title="Of ${nobody}")),
    ("defines_variables", variable(name="elsewhere")),
    ("defines_variables", variable(query={"query": 'SHOW TAG VALUES FROM "reading" WITH KEY = "${agent}"'})),
    ("defines_variables", target(datasource={"type": "influxdb", "uid": "x"})),
    ("has_room", panel(gridPos={"h": 4, "w": 5, "x": 0, "y": 0})),
    ("has_room", panel(gridPos={"h": 4, "w": 25, "x": 0, "y": 900})),
    ("has_room", lambda board: board["panels"][0].update(id=board["panels"][1]["id"])),
    ("leads_on", link(f"/d/edgemesh-nowhere?{KEPT}")),
    ("leads_on", link("https://elsewhere.example/d/edgemesh-site")),
    ("leads_on", link(f"/d/edgemesh-site?{KEPT}&var-device=d")),
    ("leads_on", link("/d/edgemesh-site?${source:queryparam}")),
    ("leads_on", lambda board: board.update(uid="edgemesh-traces")),
    ("has_time_filter", query('SELECT last("up") FROM "agent_health"')),
    ("has_time_filter", annotation(query='SELECT "cause" FROM "alert"')),
    ("has_interval", query('SELECT last("up") FROM "agent_health" WHERE $timeFilter GROUP BY time(10s)')),
    ("is_anywhere", query('SELECT last("up") FROM "plant"."autogen"."agent_health" WHERE $timeFilter')),
    ("is_anywhere", query('SELECT last("up") FROM plant..agent_health WHERE $timeFilter')),
    ("groups_rows_once", query('SELECT last("up") FROM "agent_health" WHERE $timeFilter GROUP BY "site", "agent"')),
    ("takes_many", query('SELECT last("up") FROM "agent_health" WHERE $timeFilter AND "site" = \'$site\'')),
    ("takes_many", query('SELECT last("up") FROM "agent_health" WHERE $timeFilter AND "site" =~ /^${site}$/')),
    ("knows_columns", query('SELECT last("ups") FROM "agent_health" WHERE $timeFilter')),
    ("knows_columns", query('SELECT last("up") FROM "agent_wealth" WHERE $timeFilter')),
]  # fmt: skip


def broken(change: Callable[[Json], None]) -> set[str]:
    """The rules that speak up when the first dashboard is changed."""
    boards = copy.deepcopy(BOARDS)
    change(boards["site"])
    return {rule for rule, _ in lint(boards)}


def test_the_dashboards_keep_to_every_rule() -> None:
    """No rule has anything to say about what is committed."""
    assert list(lint(BOARDS)) == []


def test_alert_rules_ask_in_the_same_way() -> None:
    """Their queries keep to the rules for statements."""
    targets = [rule["data"][0]["model"] for rule in rules()]
    asked = {
        "panels": [{"type": "", "title": "", "targets": targets}],
        "annotations": {"list": []},
        "templating": {"list": []},
    }
    assert [problem for rule in STATEMENTS for problem in RULES[rule](asked)] == []
    targets[0]["query"] = 'SELECT mode("ups") FROM x."agent_health" GROUP BY time(10s), "$agent"'
    assert {rule for rule in STATEMENTS if list(RULES[rule](asked))} == STATEMENTS


@pytest.mark.parametrize(("rule", "change"), BREACHES)
def test_each_rule_notices_what_it_is_for(rule: str, change: Callable[[Json], None]) -> None:
    """A dashboard that is changed for the worse breaks the rule that is there for it."""
    assert rule in broken(change)


WORDS = (
    "SLIMIT 3", "SOFFSET 1", "SHOW SERIES", "SHOW TAG KEY CARDINALITY", "integral(x)", "sample(x, 3)", "mode(x)",
    "holt_winters(x, 1, 1)", "CONTINUOUS", "CREATE", "INTO y", "DROP z", "DELETE", "ALTER", "KILL", "GRANT", "REVOKE",
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_words_that_not_all_servers_know_are_noticed(word: str) -> None:
    """Each forbidden word, in small letters, too."""
    assert "is_shared" in broken(query(f"$timeFilter {word}"))
    assert "is_shared" in broken(query(f"$timeFilter {word.lower()}"))


def test_what_is_awaited_is_not_written_yet() -> None:
    """An entry goes away with the change that writes its measurement: from then on its panels must find rows."""
    assert not AWAITED.keys() & MEASUREMENTS.keys()


def test_every_rule_and_every_forbidden_word_is_shown_to_notice_something() -> None:
    """None of them is there without a breach above."""
    assert {rule for rule, _ in BREACHES} | {"is_shared"} == RULES.keys() | {"leads_on"}
    assert all(any(re.match(each, word, re.IGNORECASE) for word in (*WORDS, "CARDINALITY")) for each in FORBIDDEN)
