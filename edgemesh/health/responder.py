"""A tiny read-only HTTP/1.1 server on asyncio streams: a few pages, one answer to a connection.

It is bounded in everything a stranger could ask too much of: the size of a request, its time, and how many there are.
A gateway has no room for a web framework (aiohttp takes 34 MB).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgemesh.errors import ConfigError

logger = logging.getLogger(__name__)

REQUEST_BYTES = 8 * 1024
REQUEST_S = 5.0
"""From the connection to the last byte of the answer."""
CONNECTIONS = 16
PLAIN = "text/plain; charset=utf-8"
_PHRASES = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}  # fmt: skip
_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Reply:
    """Body, status and type of an answer."""

    body: str
    status: int = 200
    type: str = PLAIN


Page = Callable[[str], Reply]
"""Makes an answer for a client; it is given what the client accepts (the header `Accept`, or an empty text)."""


def respond(head: bytes, pages: Mapping[str, Page]) -> bytes:
    """The whole answer to the head of a request, whatever it holds; `pages` by their path."""
    method, reply = _judge(head, pages)
    body = reply.body.encode()
    lines = [f"HTTP/1.1 {reply.status} {_PHRASES[reply.status]}", f"Content-Type: {reply.type}"]
    lines += [f"Content-Length: {len(body)}", "Cache-Control: no-store", "X-Content-Type-Options: nosniff"]
    lines += [f"Allow: {', '.join(_METHODS)}"] if reply.status == 405 else []
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode() + (b"" if method == "HEAD" else body)


def _judge(head: bytes, pages: Mapping[str, Page]) -> tuple[str, Reply]:
    """The method that was asked for, and what to say."""
    first, *rest = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[0].isascii() or not words[0].isalpha() or not words[1].startswith("/"):
        return "", Reply("not a request of HTTP\n", 400)
    method, target, version = words
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        return "", Reply("only HTTP/1.1 and HTTP/1.0\n", 505 if version.startswith("HTTP/") else 400)
    if method not in _METHODS:
        return method, Reply("nothing can be changed here\n", 405)
    page = pages.get(target.partition("?")[0])
    if page is None:
        return method, Reply(f"there are {', '.join(pages)}\n", 404)
    accepts = [value.strip() for name, _, value in (line.partition(":") for line in rest) if name.lower() == "accept"]
    try:
        return method, page(", ".join(accepts))
    except Exception:
        logger.exception("the page %s can't be made", target.partition("?")[0])
        return method, Reply("this page can't be made; the log says why\n", 500)


class Responder:
    """Serves the pages on one address; port 0 is any free one."""

    def __init__(self, pages: Mapping[str, Page], host: str, port: int) -> None:
        self._pages, self._host, self._port = pages, host, port
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    async def open(self) -> None:
        """Listen from now on. ConfigError when that can't be, as for a port in use."""
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=REQUEST_BYTES)
        except OSError as error:
            raise ConfigError(
                f"metrics can't be served on {self._host}:{self._port}: {error.strerror or error}",
                path="metrics.port",
                wish="another port for each process (`edgemesh run --metrics-port`), or 0 for any free one",
            ) from None
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more, and leave who is still asking; without `open`, nothing happens."""
        if self._server is not None:
            self._server.close()
            for task in self._answering:
                task.cancel()
            await asyncio.gather(*self._answering, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(REQUEST_S):
                    writer.write(await self._answer(reader))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()
            self._answering.discard(task)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        if len(self._answering) > CONNECTIONS:
            return _refusal(503, "too many ask at once")
        try:
            return respond(await reader.readuntil(b"\r\n\r\n"), self._pages)
        except asyncio.LimitOverrunError:
            return _refusal(431, f"a request has {REQUEST_BYTES} bytes at most")
        except asyncio.IncompleteReadError:
            return _refusal(400, "the request has no end")


def _refusal(status: int, why: str) -> bytes:
    body = f"{why}\n"
    head = f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: {PLAIN}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n{body}".encode()
