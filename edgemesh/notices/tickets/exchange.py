"""What both adapters do alike: a request with a login, and an answer of a known form."""

from __future__ import annotations

import base64
import time
from typing import TypeVar

import msgspec

from edgemesh.notices.channel import Reply, Verdict
from edgemesh.notices.http import Answer, judge, request

T = TypeVar("T")


def basic(login: str, password: str) -> str:
    """The value of `Authorization` (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


def exchange(
    method: str, url: str, authorization: str, body: object, form: type[T], *, timeout_s: float
) -> tuple[Reply, T | None]:
    """Send JSON (None: no body) and read JSON of this form; there where the reply says done.

    An answer of another form is no failure of what was asked, but nobody knows what came of it: again.
    """
    headers = {"Accept": "application/json", "Authorization": authorization}
    content = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        content = msgspec.json.encode(body)
    answer: Answer = request(method, url, headers, content, timeout_s=timeout_s)
    reply = judge(answer, time.time())
    if reply.verdict is not Verdict.DONE:
        return reply, None
    try:
        return reply, msgspec.json.decode(answer.body, type=form)
    except msgspec.MsgspecError as error:
        return Reply(Verdict.AGAIN, f"answered {answer.status} in a form that is not documented: {error}"), None
