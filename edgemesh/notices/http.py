"""One HTTP request, with the standard library alone: nothing heavier is loaded for a notice now and then."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from edgemesh.notices.channel import Reply, Verdict
from edgemesh.retry_after import retry_after_s

MOST_ANSWER = 256 * 1024
_FOR_GOOD = frozenset({400, 406, 409, 410, 411, 413, 414, 415, 422, 431, 451})
"""The other side is well and will say the same to the same request. Other 4xx somebody can mend on either side."""
_LATER = frozenset({425, 429})


class Answer(NamedTuple):
    """What came back; status 0: nothing did, and `text` says why. `headers` have lower-case names."""

    status: int
    text: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


def request(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, *, timeout_s: float
) -> Answer:
    """Send one request on a connection of its own; redirects are not followed. Never raises for the network's sake.

    Each part of it has `timeout_s`, and so has the whole answer, however slowly it drips.
    """
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    )
    ended, late = threading.Event(), f"no whole answer within {timeout_s:g} s"
    try:
        connection.request(method, target, body=body, headers={"User-Agent": "edgemesh", **headers})
        with _ending(connection.sock, timeout_s, ended), connection.getresponse() as response:
            content = response.read(MOST_ANSWER)
        if ended.is_set():
            return Answer(0, late)
        told = {name.lower(): value for name, value in response.getheaders()}
        text = f"{response.status} {response.reason or ''} {content[:400].decode(errors='replace')}"
        return Answer(response.status, text.strip(), told, content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, TimeoutError) or ended.is_set():
            return Answer(0, late)
        return Answer(0, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    finally:
        connection.close()


@contextmanager
def _ending(sock: socket.socket, after_s: float, ended: threading.Event) -> Iterator[None]:
    """Whoever reads from the socket after so long finds its end, and `ended` set."""

    def end() -> None:
        ended.set()
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(after_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def judge(answer: Answer, now_s: float) -> Reply:
    """What an answer means for what was sent; `now_s` is the time (UTC, s) for a Retry-After that is a date."""
    status = answer.status
    if 200 <= status < 300:
        return Reply(Verdict.DONE, answer.text)
    wait_s = retry_after_s(answer.headers.get("retry-after", ""), now_s)
    if status in _LATER:
        return Reply(Verdict.LATER, answer.text, wait_s)
    if status in _FOR_GOOD:
        return Reply(Verdict.REFUSED, answer.text)
    return Reply(Verdict.AGAIN, answer.text, wait_s)
