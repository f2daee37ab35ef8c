#!/bin/sh
# Run once by InfluxDB's container at its first start, as the administrator that it has just made: the bucket for the
# roll-ups, which are kept much longer than readings.
set -eu
influx bucket create --name "$EDGEMESH_INFLUX_ROLLUP_BUCKET" --retention 730d --org "$DOCKER_INFLUXDB_INIT_ORG"
