"""Provisioning of the data sources and of the folder of dashboards; addresses and secrets come from the environment."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
SOURCES = {"edgemesh": "EDGEMESH_INFLUX_BUCKET", "edgemesh-long": "EDGEMESH_INFLUX_ROLLUP_BUCKET"}
"""Uid and name of each data source, and the variable that names its bucket: readings, and their roll-ups."""
DASHBOARDS = "/etc/grafana/edgemesh/dashboards"
"""Where configs/compose.yaml puts `grafana/dashboards`."""


def datasources() -> Json:
    """The file of data sources: InfluxQL with a token, as 2.x and 3 take it."""
    return {"apiVersion": 1, "datasources": [_source(uid, bucket) for uid, bucket in SOURCES.items()]}


def dashboards() -> Json:
    """The file that says where dashboards are."""
    provider = {
        "name": "edgemesh",
        "orgId": 1,
        "folder": "edgemesh",
        "folderUid": "edgemesh",
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": DASHBOARDS},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _source(uid: str, bucket: str) -> Json:
    return {
        "name": uid,
        "uid": uid,
        "type": "influxdb",
        "access": "proxy",
        "url": "${EDGEMESH_INFLUX_URL}",
        "isDefault": uid == "edgemesh",
        "jsonData": {
            "version": "InfluxQL",
            "dbName": f"${{{bucket}}}",
            "httpMode": "POST",
            "httpHeaderName1": "Authorization",
        },
        "secureJsonData": {"httpHeaderValue1": "Token ${EDGEMESH_INFLUX_TOKEN}"},
        "editable": False,
    }
