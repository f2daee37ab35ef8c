"""The section `[influxdb]` of a configuration."""

from __future__ import annotations

import urllib.parse
from typing import Annotated, Literal

from msgspec import Meta

from edgemesh.model.settings import Bytes, Seconds, Secret, Settings


class InfluxSettings(Settings, frozen=True, kw_only=True):
    """`[influxdb]`: the recorder writes what it keeps into InfluxDB as well (docs/operations.md).

    `url` of the server; `version` 2 and 3 are written by `/api/v2/write` with `org` (2 only) and `token`, 1 by `/write`
    with `user` and `password`, where a bucket is `database` or `database/policy`. Secrets come from the environment:
    `token = "${INFLUX_TOKEN}"`. `rollup_bucket` gets 1-minute and 10-minute roll-ups; empty: none.

    At most `lines` go in one request, and what is there goes every `every`. Meanwhile lines wait in the recorder's
    database: at most `spool` of it, for at most `spool_hold` while it runs; beyond either the oldest give way, counted
    and alerted. `health`: how often agents are told of. `max_series`: of each measurement. `ca_file` is for servers
    with a certificate of your own.
    """

    url: str = "http://127.0.0.1:8086"
    version: Literal[1, 2, 3] = 2
    org: str = ""
    token: Secret = Secret("")
    user: str = ""
    password: Secret = Secret("")
    bucket: Annotated[str, Meta(min_length=1)] = "edgemesh"
    rollup_bucket: str = ""
    ca_file: str = ""
    timeout: Seconds = Seconds(10.0)
    lines: Annotated[int, Meta(ge=1, le=5_000)] = 5_000
    every: Seconds = Seconds(1.0)
    spool: Bytes = Bytes(500 * 1000**2)
    spool_hold: Seconds = Seconds(7 * 86_400.0)
    health: Seconds = Seconds(10.0)
    max_series: Annotated[int, Meta(ge=1)] = 20_000

    def problem(self) -> tuple[str, str, str] | None:
        """Which setting can't be used, what is wrong with it, and what would be right; never a secret."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return "url", "is no address of a server", '"http://HOST:8086" or "https://HOST"'
        if parts.username or parts.password or parts.query or parts.fragment:
            return "url", "may hold nothing but scheme, host, port and path", "secrets belong into token or password"
        if self.version == 1 and self.token:
            return "token", "is not for version 1", "user and password"
        if self.version != 1 and (self.user or self.password):
            return "user", f"is not for version {self.version}", 'token = "${INFLUX_TOKEN}"'
        if self.version == 2 and not self.org:
            return "org", "is missing", "the organisation that owns the bucket; or version = 1, 3"
        if self.rollup_bucket == self.bucket:
            return "rollup_bucket", "is the bucket of the readings", "one of its own, for it is to be kept for longer"
        if not self.timeout or not self.every or not self.health:
            return "timeout", "and every and health must be longer than 0", ""
        return None
