"""The tiny server: whatever a stranger sends, it answers or hangs up, and goes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from http.client import HTTPResponse
from io import BytesIO
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgemesh.errors import ConfigError
from edgemesh.health import responder as module
from edgemesh.health.responder import Reply, Responder, respond

PAGES = {"/healthz": lambda accept: Reply("ok\n"), "/echo": lambda accept: Reply(accept)}
TOKEN = st.text(st.characters(codec="latin-1"), max_size=20)
LINES = st.lists(st.one_of(st.sampled_from(["GET /healthz HTTP/1.1", "Accept: a", "Host: x", ""]), TOKEN), max_size=5)


class _Wire:
    """What `http.client` reads an answer from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self._data)


def read(answer: bytes, method: str = "GET") -> tuple[int, str]:
    """Status and body, as the standard library's client sees them."""
    response = HTTPResponse(cast("socket.socket", _Wire(answer)), method=method)
    response.begin()
    return response.status, response.read().decode()


@given(st.one_of(st.binary(max_size=300), LINES.map(lambda lines: "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")))
@example(b"")
@example(b"GET /healthz HTTP/1.1\r\n\r\n")
@example(b"HEAD /healthz HTTP/1.1\r\n\r\n")
def test_any_bytes_get_a_whole_answer(head: bytes) -> None:
    """Whatever comes as a request, the answer is one that an HTTP client reads, with a known status."""
    method = "HEAD" if head.startswith(b"HEAD ") else "GET"
    status, _ = read(respond(head, PAGES), method)
    assert status in {200, 400, 404, 405, 505}
    assert status != 200 or any(path.encode() in head for path in PAGES)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /healthz HTTP/1.1", 200),
        ("GET /healthz?verbose=1 HTTP/1.0", 200),
        ("GET /nothing HTTP/1.1", 404),
        ("GET /../etc/passwd HTTP/1.1", 404),
        ("POST /healthz HTTP/1.1", 405),
        ("DELETE /echo HTTP/1.1", 405),
        ("GET /healthz HTTP/2.0", 505),
        ("GET http://elsewhere/ HTTP/1.1", 400),
        ("GET /healthz", 400),
        ("\x16\x03\x01\x02", 400),
    ],
)
def test_requests_and_their_status(head: str, status: int) -> None:
    """Only GET and HEAD of a page that there is are served."""
    assert read(respond(f"{head}\r\n\r\n".encode("latin-1"), PAGES))[0] == status


def test_a_page_that_fails_is_an_answer_too() -> None:
    """A page that raises is a 500 that tells a stranger nothing of why."""

    def broken(accept: str) -> Reply:
        raise RuntimeError("secret")

    status, body = read(respond(b"GET /x HTTP/1.1\r\n\r\n", {"/x": broken}))
    assert status == 500
    assert "secret" not in body


Visit = Callable[[Responder, int], Awaitable[None]]


def serving(visit: Visit) -> None:
    async def body() -> None:
        server = Responder(PAGES, "127.0.0.1", 0)
        await server.open()
        try:
            await visit(server, int(server.url.rpartition(":")[2]))
        finally:
            async with asyncio.timeout(5):
                await server.close()

    asyncio.run(body())


async def ask(port: int, request: bytes, *, end: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        if end:
            writer.write_eof()
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""  # it hung up while we were still talking
    finally:
        writer.transport.abort()


GOOD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def test_it_serves_over_a_socket() -> None:
    """A page comes over a real connection; what is accepted comes from the header."""

    async def visit(server: Responder, port: int) -> None:
        assert read(await ask(port, GOOD)) == (200, "ok\n")
        assert read(await ask(port, b"GET /echo HTTP/1.1\r\nACCEPT: text/x \r\n\r\n")) == (200, "text/x")

    serving(visit)


def test_too_much_and_too_little_are_refused() -> None:
    """A head above the bound, and one that ends early, are refused; the next client is served."""

    async def visit(server: Responder, port: int) -> None:
        long = b"GET /healthz HTTP/1.1\r\nX: " + b"y" * module.REQUEST_BYTES
        assert read(await ask(port, long))[0] == 431
        assert read(await ask(port, b"GET /hea", end=True))[0] == 400
        assert read(await ask(port, GOOD))[0] == 200

    serving(visit)


def test_who_is_slow_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never ends its request is left in time, without an answer."""
    monkeypatch.setattr(module, "REQUEST_S", 0.05)

    async def visit(server: Responder, port: int) -> None:
        assert await ask(port, b"GET /healthz HTTP/1.1\r\n") == b""
        assert read(await ask(port, GOOD))[0] == 200

    serving(visit)


def test_too_many_at_once_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound of connections a client is told so at once; when the others are gone, it is served."""
    monkeypatch.setattr(module, "CONNECTIONS", 2)

    async def visit(server: Responder, port: int) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        assert read(await ask(port, b""))[0] == 503
        for _, writer in silent:
            writer.close()
        async with asyncio.timeout(5):
            while not (answer := await ask(port, GOOD)) or read(answer)[0] != 200:
                await asyncio.sleep(0)

    serving(visit)


@settings(max_examples=20, deadline=None)
@given(noise=st.lists(st.binary(max_size=400), max_size=4))
def test_noise_on_the_socket_disturbs_nobody(noise: list[bytes]) -> None:
    """After any bytes on any number of connections the next request is served."""

    async def visit(server: Responder, port: int) -> None:
        await asyncio.gather(*(ask(port, each, end=True) for each in noise))
        assert read(await ask(port, GOOD)) == (200, "ok\n")

    serving(visit)


def test_a_port_in_use_is_said() -> None:
    """The error names address and setting, and says what to do."""

    async def visit(server: Responder, port: int) -> None:
        with pytest.raises(ConfigError) as caught:
            await Responder(PAGES, "127.0.0.1", port).open()
        assert f"127.0.0.1:{port}" in str(caught.value)
        assert "metrics.port" in str(caught.value)
        assert "--metrics-port" in str(caught.value)

    serving(visit)
