"""Traces at a collector: a receiver on loopback gets each span as OTLP says, and its failures cost nothing else."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.model.agents import Role
from edgemesh.model.spans import Link, Span, SpanKind
from edgemesh.store import otlp, retry
from edgemesh.store.otlp import OtlpExporter
from edgemesh.tracing.otlp import export_request, refused_spans
from tests.unit.wire.strategies import spans as any_spans

DB = sqlite3.connect(":memory:", check_same_thread=False)
T = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(ThreadingHTTPServer):
    """Answers as told and keeps what it has taken."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, Message]] = []
        self.taken: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ids(self) -> list[str]:
        resources = [resource for body in self.taken for resource in body["resourceSpans"]]
        return [span["spanId"] for each in resources for scope in each["scopeSpans"] for span in scope["spans"]]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers))
        status, headers, answer = self.server.answers.pop(0) if self.server.answers else (200, {}, b"{}")
        if status == 200:
            self.server.taken.append(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's own word
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def exporting(url: str, headers: dict[str, str] | None = None) -> Iterator[OtlpExporter]:
    exporter = OtlpExporter("hall", "1.0", url, headers)
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests a hundred times as often."""
    monkeypatch.setattr(otlp, "EVERY_S", 0.01)
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.01)


def make_span(number: int) -> Span:
    return Span(
        trace_id=T, span_id=f"{number:016x}", parent="1" * 16, name="score", role=Role.DETECTOR, agent="d1",
        kind=SpanKind.CONSUMER, start_ns=1_760_000_000_000_000_001, duration_ns=7, error="failed",
        attributes={"a": "text", "b": 7, "c": 0.5}, links=(Link(trace_id="b" * 32, span_id="c" * 16),),
    )  # fmt: skip


def test_a_span_is_said_as_the_protocol_has_it() -> None:
    """Hexadecimal ids, 64-bit integers as texts, values by their type, the role as the service."""
    (resource,) = json.loads(export_request("hall", "1.0", [make_span(2)]))["resourceSpans"]
    about = {each["key"]: each["value"]["stringValue"] for each in resource["resource"]["attributes"]}
    assert about["service.name"] == "detector"
    assert (about["service.instance.id"], about["edgemesh.site"]) == ("d1", "hall")
    assert resource["scopeSpans"][0]["spans"] == [
        {
            "traceId": T,
            "spanId": f"{2:016x}",
            "parentSpanId": "1" * 16,
            "name": "score",
            "kind": 5,
            "startTimeUnixNano": "1760000000000000001",
            "endTimeUnixNano": "1760000000000000008",
            "attributes": [
                {"key": "a", "value": {"stringValue": "text"}},
                {"key": "b", "value": {"intValue": "7"}},
                {"key": "c", "value": {"doubleValue": 0.5}},
            ],
            "links": [{"traceId": "b" * 32, "spanId": "c" * 16}],
            "status": {"code": 2, "message": "failed"},
        }
    ]


@given(st.lists(any_spans, max_size=5))
def test_whatever_spans_hold_there_is_a_request_with_each_of_them(spans: list[Span]) -> None:
    """Grouped by who worked; none is lost or doubled."""
    said = json.loads(export_request("hall", "1.0", spans))["resourceSpans"]
    ids = [span["spanId"] for each in said for span in each["scopeSpans"][0]["spans"]]
    assert sorted(ids) == sorted(span.span_id for span in spans)


def test_a_collector_that_fails_gets_them_later_and_one_that_refuses_never(
    wait_for: Callable[[Callable[[], bool], float], None],
) -> None:
    """503 is tried again; 400 is dropped and counted, and the next ones go on."""
    with collecting() as server, exporting(server.url) as exporter:
        server.answers = [(503, {}, b"")]
        exporter.spans(DB, [make_span(1), make_span(2)])
        wait_for(lambda: exporter.sent == 2, 10)
        server.answers = [(400, {}, b"")]
        exporter.spans(DB, [make_span(3)])
        wait_for(lambda: exporter.dropped == 1, 10)
        exporter.spans(DB, [make_span(4)])
        wait_for(lambda: exporter.sent == 3, 10)
        assert [int(each, 16) for each in server.ids()] == [1, 2, 4]
        assert {(path, said["Content-Type"]) for path, said in server.asked} == {("/v1/traces", "application/json")}


@pytest.mark.parametrize("status", [429, 503])
def test_a_collector_that_asks_for_time_gets_it(
    status: int, wait_for: Callable[[Callable[[], bool], float], None]
) -> None:
    """`Retry-After` is honoured, also when we end; 0 is at once, whatever the failures before it."""
    with collecting() as server:
        with exporting(server.url) as exporter:
            server.answers = [(503, {}, b"")] * 3 + [(status, {"Retry-After": "0"}, b"")]
            exporter.spans(DB, [make_span(1)])
            wait_for(lambda: exporter.sent == 1, 10)
            assert exporter.rest_s == 0.0
            server.answers = [(status, {"Retry-After": "1800"}, b"")]
            exporter.spans(DB, [make_span(2)])
            wait_for(lambda: exporter.rest_s >= 1800, 10)
            asked = len(server.asked)
        assert len(server.asked) == asked
        assert server.ids() == [f"{1:016x}"]


def test_what_no_collector_may_be_asked_twice_is_dropped(wait_for: Callable[[Callable[[], bool], float], None]) -> None:
    """500 and a redirect are final, whatever they say of when; a partial success costs what was refused."""
    with collecting() as server, exporting(server.url, {"authorization": "Bearer s3cret"}) as exporter:
        server.answers = [
            (500, {"Retry-After": "9"}, b""),
            (307, {"Location": f"{server.url}/elsewhere"}, b""),
            (302, {"Location": f"{server.url}/elsewhere"}, b""),
            (200, {}, b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}'),
        ]
        for number in range(3):
            exporter.spans(DB, [make_span(number)])
            wait_for(lambda: exporter.dropped == number + 1, 10)  # noqa: B023  called before the next round
        exporter.spans(DB, [make_span(3), make_span(4), make_span(5)])
        wait_for(lambda: (exporter.sent, exporter.dropped) == (1, 5), 10)
        assert [path for path, _ in server.asked] == ["/v1/traces"] * 4


def test_headers_go_with_each_request_and_into_no_log(
    caplog: pytest.LogCaptureFixture, wait_for: Callable[[Callable[[], bool], float], None]
) -> None:
    """A collector that repeats the secret in its refusal does not bring it into our log."""
    with collecting() as server, exporting(server.url, {"authorization": "Bearer s3cret"}) as exporter:
        caplog.set_level(logging.DEBUG)
        server.answers = [(200, {}, b'{"partialSuccess": {"rejectedSpans": 1, "errorMessage": "no Bearer s3cret"}}')]
        exporter.spans(DB, [make_span(1)])
        wait_for(lambda: exporter.dropped == 1, 10)
        exporter.spans(DB, [make_span(2)])
        wait_for(lambda: exporter.sent == 1, 10)
        assert [said["Authorization"] for _, said in server.asked] == ["Bearer s3cret"] * 2
    assert "no ***" in caplog.text
    assert "s3cret" not in caplog.text


@given(st.binary(max_size=60))
def test_whatever_a_collector_answers_is_no_error(answer: bytes) -> None:
    """What can't be read refuses nothing."""
    assert refused_spans(answer) == (0, "")
    for said in (b"-3", b'"x"', b'"99999999999999999999"', b"null", b"[1]"):
        assert refused_spans(b'{"partialSuccess": {"rejectedSpans": %s}}' % said) == (0, "")


def test_what_waits_for_a_collector_is_bounded_and_goes_when_we_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: what is too much is dropped and counted, and nothing waits for it."""
    monkeypatch.setattr(otlp, "MOST_WAITING", 3)
    exporter = OtlpExporter("hall", "1.0", "http://127.0.0.1:9")
    exporter.spans(DB, [make_span(number) for number in range(5)])
    assert exporter.dropped == 2
    with collecting() as server:
        last = OtlpExporter("hall", "1.0", f"{server.url}/")
        monkeypatch.setattr(otlp, "EVERY_S", 60.0)
        last.start()
        last.spans(DB, [make_span(9)])
        last.stop()
        assert server.ids() == [f"{9:016x}"]
