"""configs/compose.yaml agrees with the files that it mounts, with provisioning, and with what docs tell."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from edgemesh.store.influx.settings import InfluxSettings
from grafana.generator import alerts, sources
from grafana.generator.files import ROOT

Json = dict[str, Any]
FOLDER = ROOT / "configs"
COMPOSE: Json = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Json] = COMPOSE["services"]


def settings(name: str) -> dict[str, str]:
    """The lines of a configuration of Mosquitto, without its comments and its listener."""
    lines = (FOLDER / "mosquitto" / name).read_text(encoding="utf-8").splitlines()
    told = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return {f"{key} {value}" if key == "log_type" else key: value for key, value in told if key != "listener"}


def told_in_docs() -> Json:
    """The section of docs/grafana.md that edgemesh is to be given."""
    text = (ROOT / "docs" / "grafana.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    return tomllib.loads(block)


def mounts(service: str) -> dict[str, str]:
    """What of this repository a service sees where."""
    pairs = [each.split(":") for each in SERVICES[service].get("volumes", ()) if each.startswith(".")]
    return {inside: outside for outside, inside, _ in pairs}


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_pinned_local_and_mount_what_exists(name: str) -> None:
    """Images by tag, ports of this machine only, files read-only and there, volumes declared."""
    service = SERVICES[name]
    assert re.fullmatch(r"[\w/-]+:\d+\.\d+\.\d+", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for each in service.get("volumes", ()):
        outside, inside, *rest = each.split(":")
        assert inside.startswith("/")
        if outside.startswith("."):
            assert (FOLDER / outside).resolve().exists()
            assert rest == ["ro"]
        else:
            assert outside in COMPOSE["volumes"]
    assert set(service.get("depends_on", ())) <= set(SERVICES)


def test_every_declared_volume_is_used() -> None:
    """None is left over."""
    used = {each.split(":")[0] for service in SERVICES.values() for each in service.get("volumes", ())}
    assert set(COMPOSE["volumes"]) <= used


def test_grafana_has_what_provisioning_asks_for() -> None:
    """Variables of the data sources, the folders of dashboards and runbooks."""
    environment = SERVICES["grafana"]["environment"]
    asked = set(re.findall(r"\$\{(\w+)\}", str(sources.datasources())))
    assert asked <= environment.keys()
    assert asked == {name for name in environment if name.startswith("EDGEMESH_")}
    seen = mounts("grafana")
    assert seen["/etc/grafana/provisioning"] == "../grafana/provisioning"
    (provider,) = sources.dashboards()["providers"]
    assert seen[provider["options"]["path"]] == "../grafana/dashboards"
    assert seen[f"/usr/share/grafana{alerts.RUNBOOKS}"] == "../docs/runbooks"
    home = environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].removeprefix(provider["options"]["path"] + "/")
    assert (ROOT / "grafana" / "dashboards" / home).is_file()


def test_influxdb_grafana_and_edgemesh_mean_the_same_buckets() -> None:
    """Organisation, buckets, token and port; the section of the docs is one that edgemesh takes."""
    server, grafana = SERVICES["influxdb"]["environment"], SERVICES["grafana"]["environment"]
    section = told_in_docs()["influxdb"]
    assert section["org"] == server["DOCKER_INFLUXDB_INIT_ORG"]
    assert section["bucket"] == server["DOCKER_INFLUXDB_INIT_BUCKET"] == grafana["EDGEMESH_INFLUX_BUCKET"]
    names = {each["EDGEMESH_INFLUX_ROLLUP_BUCKET"] for each in (server, grafana)}
    assert names == {section["rollup_bucket"]}
    assert server["DOCKER_INFLUXDB_INIT_ADMIN_TOKEN"] == grafana["EDGEMESH_INFLUX_TOKEN"]
    assert "EDGEMESH_INFLUX_TOKEN" in section["token"]
    port = SERVICES["influxdb"]["ports"][0].split(":")
    assert section["url"] == f"http://{port[0]}:{port[1]}"
    assert grafana["EDGEMESH_INFLUX_URL"] == f"http://influxdb:{port[2]}"
    told = {key: value for key, value in section.items() if key != "token"}
    assert InfluxSettings(**told).problem() is None


def test_the_script_for_the_second_bucket_can_run() -> None:
    """It is executable, right for a shell, and uses only variables that the container has."""
    (script,) = [FOLDER / each for each in mounts("influxdb").values()]
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", str(script)]).returncode == 0
    used = set(re.findall(r"\$(\w+)", script.read_text(encoding="utf-8")))
    assert used
    assert used <= SERVICES["influxdb"]["environment"].keys()


def test_mosquitto_is_set_as_edgemesh_wants_it() -> None:
    """The same settings as configs/mosquitto/edgemesh.conf, but for the listener and what it tells of clients."""
    shipped, here = settings("edgemesh.conf"), settings("compose.conf")
    assert here == {key: value for key, value in shipped.items() if key not in ("connection_messages", "sys_interval")}
    assert (
        told_in_docs()["site"]["broker"].removeprefix("mqtt://") == SERVICES["mosquitto"]["ports"][0].rpartition(":")[0]
    )
