#!/bin/sh
# Run once by InfluxDB's container at its first start: the bucket for the roll-ups, which are kept much longer.
set -eu
influx bucket create --name "$EDGEMESH_INFLUX_ROLLUP_BUCKET" --retention 730d \
    --org "$DOCKER_INFLUXDB_INIT_ORG" --token "$DOCKER_INFLUXDB_INIT_ADMIN_TOKEN"
