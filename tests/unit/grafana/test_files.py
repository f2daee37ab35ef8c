"""What `make grafana` writes is what is committed, and provisioning refers to what exists."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.store.influx.measurements import MEASUREMENTS
from grafana.generator import alerts, sources
from grafana.generator.files import FOLDER, ROOT, canonical, dashboards, files
from grafana.generator.yaml import dump

Json = dict[str, Any]
FILES = files()
UIDS = {source["uid"] for source in sources.datasources()["datasources"]}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_is_committed_is_what_would_be_written(path: Any) -> None:
    """Byte by byte; if not, `make grafana` puts it right."""
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[path]


def test_nothing_else_lies_in_the_folders() -> None:
    """A dashboard that is no longer made is not left behind."""
    found = {
        path.relative_to(ROOT)
        for kind in ("dashboards", "provisioning")
        for path in (ROOT / FOLDER / kind).rglob("*.*")
    }
    assert found == set(FILES)


def test_the_form_of_dashboards_is_canonical() -> None:
    """The order in which a dict was made does not matter."""
    assert canonical({"b": 1, "a": "ä"}) == canonical({"a": "ä", "b": 1}) == '{\n  "a": "ä",\n  "b": 1\n}\n'


texts = st.text(st.one_of(st.characters(categories=("L", "N", "P", "S")), st.sampled_from(" \n\t")))
keys = st.sampled_from(("title", "uid", "for", "data"))
trees = st.dictionaries(
    keys,
    st.recursive(
        st.one_of(texts, st.integers(), st.booleans(), st.none()),
        lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
        max_leaves=20,
    ),
)


@settings(deadline=None)
@given(trees)
def test_yaml_says_what_the_dict_says(made: Json) -> None:
    """Whatever words and signs are in it, a parser of others reads the same."""
    assert (yaml.safe_load(dump(made, "about")) or {}) == made


def provisioned(kind: str) -> Json:
    made: Json = yaml.safe_load(FILES[FOLDER / "provisioning" / kind / "edgemesh.yaml"])
    assert made["apiVersion"] == 1
    return made


def test_data_sources_take_addresses_and_secrets_from_the_environment() -> None:
    """InfluxQL, and nothing in the file that belongs to one site."""
    for source in provisioned("datasources")["datasources"]:
        assert (source["type"], source["jsonData"]["version"]) == ("influxdb", "InfluxQL")
        told = [source["url"], source["jsonData"]["dbName"], source["secureJsonData"]["httpHeaderValue1"]]
        assert all(re.search(r"\$\{EDGEMESH_INFLUX_\w+\}$", text) for text in told)


def test_dashboards_begin_with_a_source_that_is_provisioned() -> None:
    """The variables for sources point to a uid that exists."""
    for board in dashboards().values():
        begun = [each["current"]["value"] for each in board["templating"]["list"] if each["type"] == "datasource"]
        assert begun
        assert set(begun) <= UIDS


def test_alert_rules_refer_to_what_exists() -> None:
    """Source, folder, dashboard, panel and runbook; every uid is there once."""
    (group,) = provisioned("alerting")["groups"]
    (provider,) = provisioned("dashboards")["providers"]
    assert group["folder"] == provider["folder"]
    rules = group["rules"]
    assert len({rule["uid"] for rule in rules}) == len(rules)
    boards = {board["uid"]: {str(panel["id"]) for panel in board["panels"]} for board in dashboards().values()}
    for rule in rules:
        assert rule["data"][0]["datasourceUid"] == rule["data"][0]["model"]["datasource"]["uid"]
        assert rule["data"][0]["datasourceUid"] in UIDS
        assert rule["annotations"]["__panelId__"] in boards[rule["annotations"]["__dashboardUid__"]]
        runbook = rule["annotations"]["runbook_url"].removeprefix(alerts.RUNBOOKS + "/")
        assert (ROOT / "docs" / "runbooks" / runbook).is_file()


def test_expressions_of_alert_rules_hang_together() -> None:
    """Query, reduction, threshold: each names the one before it, and the condition is the last."""
    for rule in alerts.rules():
        query, reduced, limit = rule["data"]
        assert (reduced["model"]["expression"], limit["model"]["expression"]) == (query["refId"], reduced["refId"])
        assert rule["condition"] == limit["refId"]
        assert limit["model"]["conditions"][0]["evaluator"]["type"] in ("lt", "gt")
        assert rule["noDataState"] in ("OK", "NoData", "Alerting")


def test_nothing_of_a_rule_is_taken_for_a_variable_of_the_environment() -> None:
    """Grafana puts the environment into every text of the file but queries and annotations."""
    for rule in alerts.rules():
        texts = [rule["uid"], rule["title"], rule["for"], *rule["labels"].values()]
        assert not any("$" in text for text in texts)


def test_summaries_name_only_labels_that_the_query_has() -> None:
    """What a message says about a series is among the tags it is grouped by."""
    for rule in alerts.rules():
        grouped = rule["data"][0]["model"]["query"].rpartition("GROUP BY")[2]
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert f'"{label}"' in grouped


def test_each_runbook_belongs_to_a_rule() -> None:
    """No page without a rule."""
    assert {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")} == {rule.name for rule in alerts.RULES}


def test_all_that_an_agent_says_of_its_health_is_shown() -> None:
    """A field that no panel asks for is written for nobody."""
    asked = " ".join(files().values())
    fields = MEASUREMENTS["agent_health"].fields
    assert [name for name in fields if f'\\"{name}\\"' not in asked] == []
