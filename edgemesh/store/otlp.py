"""The way out to a collector of OpenTelemetry: a thread that posts spans as OTLP over HTTP, and holds nothing up.

Spans wait in memory; what finds no room, or what a collector refuses, is dropped and counted. The history keeps them
anyway. What an answer means: https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
"""

from __future__ import annotations

import http.client
import logging
import random
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgemesh.model.spans import Span
from edgemesh.store.retry import wait_s
from edgemesh.tracing.otlp import export_request, refused_spans

logger = logging.getLogger(__name__)

MOST_WAITING = 4_096
REQUEST_SPANS = 512
EVERY_S = 1.0
TIMEOUT_S = 5.0
ANSWER_BYTES = 65_536
"""So much of an answer is read at most."""
_AGAIN = frozenset({429, 502, 503, 504})


class Reply(NamedTuple):
    """What came of a request. `problem`: what went wrong, for people; empty: nothing. `again`: the same may be sent
    again, and `retry_after` is what the collector says of when. `refused`: so many of its spans were not taken.
    """

    problem: str = ""
    again: bool = False
    retry_after: str = ""
    refused: int = 0


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: headers with a secret go to the collector that was named, and nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class OtlpExporter:
    """Posts what it is told to `url` + `/v1/traces` with `headers`; `sent` and `dropped` count spans since the start.

    After a failure that may pass the same spans go again: when the collector says (`Retry-After`, up to an hour), else
    each time after twice as long, 60 s at most. Values of headers are never printed.
    """

    def __init__(self, site: str, version: str, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._site, self._version = site, version
        self._url = url.rstrip("/") + "/v1/traces"
        self._secrets = [value for value in (headers or {}).values() if value]
        self._headers = {**(headers or {}), "Content-Type": "application/json", "User-Agent": f"edgemesh/{version}"}
        self._open = urllib.request.build_opener(_Stay).open
        self._waiting: deque[Span] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._failures = 0
        self._asked = False
        self.rest_s = 0.0
        self.sent = self.dropped = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Try once more to send what waits, unless the collector has asked to wait; end within a request's time-out."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S + 1.0)

    def spans(self, connection: sqlite3.Connection, spans: Sequence[Span]) -> None:
        """See `store.contract.SpanMirror`; returns at once."""
        room = max(0, MOST_WAITING - len(self._waiting))
        self._waiting.extend(spans[:room])
        self.dropped += max(0, len(spans) - room)

    def _run(self) -> None:
        while not self._stopping.wait(max(EVERY_S, self.rest_s)):
            self._send_all()
        if not self._asked:
            self._send_all()

    def _send_all(self) -> None:
        while self._waiting:
            spans = [self._waiting[place] for place in range(min(len(self._waiting), REQUEST_SPANS))]
            reply = self._post(export_request(self._site, self._version, spans))
            if reply.again:
                self._rest(reply)
                return
            for _ in spans:
                self._waiting.popleft()
            refused = min(reply.refused, len(spans)) if reply.refused else len(spans) * bool(reply.problem)
            self.dropped += refused
            self.sent += len(spans) - refused
            self._failures = self._failures + 1 if reply.problem else 0
            self.rest_s, self._asked = 0.0, False
            if reply.problem:
                self._say(reply.problem)

    def _post(self, body: bytes) -> Reply:
        request = urllib.request.Request(self._url, body, self._headers)  # noqa: S310  checked
        try:
            with self._open(request, timeout=TIMEOUT_S) as answer:
                refused, why = refused_spans(answer.read(ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                asked = error.headers.get("Retry-After", "") if error.code in (429, 503) else ""
                return Reply(f"{error.code} {error.reason}", error.code in _AGAIN, asked)
        except (OSError, http.client.HTTPException) as error:
            return Reply(str(error) or type(error).__name__, True)
        return Reply(f"{refused} spans were refused: {why}" if refused else "", refused=refused)

    def _rest(self, reply: Reply) -> None:
        self._failures += 1
        self._asked = bool(reply.retry_after)
        self.rest_s = wait_s(reply.retry_after, self._failures, random.random, time.time())
        self._say(reply.problem)

    def _say(self, problem: str) -> None:
        """Once until it goes well again."""
        if self._failures > 1:
            return
        for secret in self._secrets:
            problem = problem.replace(secret, "***")
        plain = "".join(sign if sign.isprintable() else " " for sign in problem[:200])
        logger.warning("traces can't be sent to %s: %s; what is too much is dropped", self._url, plain)
