"""The console's web server: one page, two JSON addresses and a stream of snapshots. Read-only.

Everything the page needs is served from here, so it works offline and under a strict Content-Security-Policy. Bound to
loopback, requests that name another host are refused: a page of somebody else can't reach us by DNS rebinding.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from edgemesh.console.overview import Overview
from edgemesh.errors import ConfigError, InputError, StoreError

PERIOD_S = 0.5
KEEP_ALIVE_S = 10.0
WRITE_WITHIN_S = 5.0
MAX_CLIENTS = 32

Explain = Callable[[str], msgspec.Struct]
"""The chain of the alert whose id begins so. InputError: there is none, or several; StoreError: the history is away."""

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "index.html": "text/html",
    "style.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "edgemesh",
}


class ConsoleServer:
    """Shows an Overview on `host:port` to at most 32 pages at a time; port 0 takes any free one.

    `explain` (called in a thread) answers `/api/alerts/ID/why`; without it that address is not there.

    It lives on the event loop that feeds the Overview. `open` returns when pages can be loaded; `close` ends all
    streams and returns within a second.
    """

    def __init__(
        self,
        overview: Overview,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        explain: Explain | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._explain = explain
        self._overview, self._host, self._port = overview, host, port
        self._monotonic, self._now_ns = monotonic, now_ns
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._clients: set[_Client] = set()

    @property
    def port(self) -> int:
        """The port that is listened on; after `open` never 0."""
        return self._port

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(self._host, self._host)  # noqa: S104
        return f"http://{host}:{self._port}/"

    async def open(self) -> None:
        """Listen. ConfigError when the address can't be had."""
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(
                f"the page can't be shown on {self._host}:{self._port}: {error.strerror or error}",
                path="console.port",
                wish="another port, or 0 for any free one",
            ) from None
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        self._ticker = asyncio.create_task(self._tick(), name="console")

    async def close(self) -> None:
        """Stop listening and say good-bye to every page; without `open`, nothing happens."""
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
        for client in tuple(self._clients):
            client.leave()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.on_response_prepare.append(_secure)
        app.router.add_get("/", _static("index.html"))
        for name in _FILES:
            app.router.add_get(f"/static/{name}", _static(name))
        app.router.add_get("/api/overview", self._overview_json)
        if self._explain is not None:
            app.router.add_get("/api/alerts/{alert}/why", partial(self._why_json, self._explain))
        app.router.add_get("/events", self._events, allow_head=False)
        app.router.add_get("/healthz", _healthz)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if _is_loopback(self._host) and not _is_loopback(_host_name(request.headers.get("Host", ""))):
            raise web.HTTPForbidden(text="this page is for this machine only: open it as http://127.0.0.1\n")
        return await handler(request)

    def _snapshot(self) -> bytes:
        return msgspec.json.encode(self._overview.snapshot(self._monotonic(), self._now_ns()))

    async def _overview_json(self, _: web.Request) -> web.Response:
        return web.Response(body=self._snapshot(), content_type="application/json")

    @staticmethod
    async def _why_json(explain: Explain, request: web.Request) -> web.Response:
        try:
            chain = await asyncio.to_thread(explain, request.match_info["alert"])
        except InputError as error:
            raise web.HTTPNotFound(text=f"{error}\n") from error
        except StoreError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n", headers={"Retry-After": "5"}) from error
        return web.Response(body=msgspec.json.encode(chain), content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._ticker is None or len(self._clients) >= MAX_CLIENTS:
            raise web.HTTPServiceUnavailable(text="too many pages are open\n", headers={"Retry-After": "5"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        client = _Client()
        self._clients.add(client)
        try:
            await response.prepare(request)
            client.show(self._frame_of(self._snapshot()))
            await client.run(response)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._clients.discard(client)
        return response

    async def _tick(self) -> None:
        """Show every client a new snapshot, at most twice a second and only when something has changed."""
        shown = -1
        while True:
            await asyncio.sleep(PERIOD_S)
            if not self._clients:
                continue
            body = self._snapshot()
            if self._overview.changes == shown:
                continue
            shown = self._overview.changes
            frame = self._frame_of(body)
            for client in self._clients:
                client.show(frame)

    @staticmethod
    def _frame_of(body: bytes) -> bytes:
        return b"retry: 2000\nevent: snapshot\ndata: " + body + b"\n\n"


class _Client:
    """One page that listens. It gets the latest frame, never a queue of old ones."""

    def __init__(self) -> None:
        self._frame = b""
        self._news = asyncio.Event()
        self._leaving = False

    def show(self, frame: bytes) -> None:
        """Have the frame sent next, instead of one that waits still."""
        self._frame = frame
        self._news.set()

    def leave(self) -> None:
        """End the stream."""
        self._leaving = True
        self._news.set()

    async def run(self, response: web.StreamResponse) -> None:
        """Send frames until `leave`; TimeoutError when the page takes none for 5 s."""
        while not self._leaving:
            try:
                await asyncio.wait_for(self._news.wait(), KEEP_ALIVE_S)
            except TimeoutError:
                self._frame = b": keep-alive\nevent: alive\ndata: 1\n\n"
            self._news.clear()
            if not self._leaving:
                frame, self._frame = self._frame, b""
                await asyncio.wait_for(response.write(frame), WRITE_WITHIN_S)


def _static(name: str) -> Handler:
    body = (_STATIC / name).read_bytes()

    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=_FILES[name], charset="utf-8")

    return serve


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _host_name(header: str) -> str:
    """The name in a Host header, without its port and the brackets of an IPv6 address."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _is_loopback(name: str) -> bool:
    """Whether the name or address can only mean this machine."""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
