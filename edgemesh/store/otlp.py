"""The way out to a collector of OpenTelemetry: a thread that posts spans as OTLP over HTTP, and holds nothing up.

Spans wait in memory; what finds no room, or what a collector refuses, is dropped and counted. The history keeps them
anyway.
"""

from __future__ import annotations

import http.client
import logging
import sqlite3
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Sequence

from edgemesh.model.spans import Span
from edgemesh.tracing.otlp import export_request

logger = logging.getLogger(__name__)

MOST_WAITING = 4_096
REQUEST_SPANS = 512
EVERY_S = 1.0
TIMEOUT_S = 5.0
LONGEST_WAIT_S = 60.0
_AGAIN = frozenset({429, 502, 503, 504})


class OtlpExporter:
    """Posts what it is told to `url` + `/v1/traces`; `sent` and `dropped` count spans since the start.

    After a failure that may pass it tries again, each time after twice as long, 60 s at most.
    """

    def __init__(self, site: str, version: str, url: str) -> None:
        self._site, self._version = site, version
        self._url = url.rstrip("/") + "/v1/traces"
        self._waiting: deque[Span] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._wait_s = 0.0
        self._failing = False
        self.sent = self.dropped = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Try once more to send what waits, and end within the time-out of a request."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S + 1.0)

    def spans(self, connection: sqlite3.Connection, spans: Sequence[Span]) -> None:
        """See `store.contract.SpanMirror`; returns at once."""
        room = max(0, MOST_WAITING - len(self._waiting))
        self._waiting.extend(spans[:room])
        self.dropped += max(0, len(spans) - room)

    def _run(self) -> None:
        while not self._stopping.wait(max(EVERY_S, self._wait_s)):
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._waiting:
            spans = [self._waiting[place] for place in range(min(len(self._waiting), REQUEST_SPANS))]
            problem, again = self._post(export_request(self._site, self._version, spans))
            if problem and again:
                self._fail(problem)
                return
            for _ in spans:
                self._waiting.popleft()
            if problem:
                self.dropped += len(spans)
                self._fail(problem)
            else:
                self.sent += len(spans)
                self._wait_s, self._failing = 0.0, False

    def _post(self, body: bytes) -> tuple[str, bool]:
        """What went wrong (empty: nothing), and whether to try again."""
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310  checked
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310  http(s), as configured
                reply.read()
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.reason}", error.code in _AGAIN
        except (OSError, http.client.HTTPException) as error:
            return str(error), True
        return "", False

    def _fail(self, problem: str) -> None:
        self._wait_s = min(LONGEST_WAIT_S, max(EVERY_S, 2 * self._wait_s))
        if not self._failing:
            logger.warning("traces can't be sent to %s: %s; what is too much is dropped", self._url, problem)
        self._failing = True
