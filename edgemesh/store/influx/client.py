"""influxdb-client, wrapped once: one request at a time, ready-made lines, no queue of its own.

Its batching mode is not used: `flush` there is empty, `close` hangs while the server is down, and the queue is in
memory and has no end. InfluxDB 1.x has no `/api/v2/write`; a small adapter turns the request into one for `/write`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from edgemesh.store.influx.settings import InfluxSettings
from edgemesh.store.influx.verdict import Reply

LEVEL = 1
"""Of compression: the library's own is 9, which costs several times as much for a little less."""


class InfluxClient:
    """Writes lines to one server; to be used by one thread."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._token = settings.token.reveal() or settings.password.reveal()
        one = settings.version == 1
        login = f"{settings.user}:{settings.password.reveal()}" if settings.user else ""
        make: Callable[..., Any] = InfluxDBClient  # typed by half
        self._client = make(
            settings.url,
            token=(login if one else settings.token.reveal()) or None,
            org=settings.org,
            timeout=round(settings.timeout * 1000),
            auth_basic=one and bool(login),
            ssl_ca_cert=settings.ca_file or None,
            retries=False,
        )
        if one:
            self._client.api_client.request = _on_route_1(self._client.api_client.request)
        service: Callable[..., Any] = WriteService
        self._service = service(self._client.api_client)

    def write(self, bucket: str, body: bytes) -> Reply:
        """Send the lines to a bucket (1.x: `database` or `database/policy`); see `sender.Post`."""
        try:
            self._service.post_write(
                org=self._settings.org,
                bucket=bucket,
                body=gzip.compress(body, LEVEL, mtime=0),
                precision="ns",
                content_encoding="gzip",
                content_type="text/plain; charset=utf-8",
                accept="application/json",
            )
        except ApiException as error:
            said: Any = error
            headers, text = said.headers or {}, said.body if isinstance(said.body, str) else str(said.reason or "")
            return Reply(int(said.status or 0), self._hidden(text), str(headers.get("Retry-After", "")))
        except Exception as error:  # noqa: BLE001  whatever the library raises is no answer
            return Reply(0, self._hidden(f"{type(error).__name__}: {error}"))
        return Reply(204)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _hidden(self, text: str) -> str:
        """What a server or library says, without our secret."""
        return text.replace(self._token, "***") if self._token else text


def _on_route_1(request: Callable[..., Any]) -> Callable[..., Any]:
    """The library's request, sent to `/write` of InfluxDB 1.x."""

    def send(method: str, url: str, query_params: Any = None, **rest: Any) -> Any:
        asked = dict(query_params or {})
        database, _, policy = asked.get("bucket", "").partition("/")
        query = [("db", database), ("precision", "ns"), *([("rp", policy)] if policy else [])]
        return request(method, url.replace("/api/v2/write", "/write"), query_params=query, **rest)

    return send
