"""The dashboards, alert rules and provisioning files of `grafana/`, as plain dicts; `make grafana` writes them.

Every query is InfluxQL in the subset that InfluxDB 1.x, 2.x and 3 Core share (docs/grafana.md).
"""
