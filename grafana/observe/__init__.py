"""Runs every query of the dashboards and alert rules on a real InfluxDB 1.x that a real site has filled.

`make observability` prints what each panel found. There is no Grafana in this: its macros and the few transformations
that the dashboards use are done here.
"""
