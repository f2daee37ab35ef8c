"""The console's web server: what it serves, to whom, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import msgspec
import pytest

from edgemesh.console import server
from edgemesh.console.overview import Overview
from edgemesh.console.server import ConsoleServer, Explain
from edgemesh.console.snapshot import Snapshot
from edgemesh.errors import ConfigError, InputError, StoreError
from tests.conftest import Until
from tests.unit.console.hall import Hall, busy_hall

Use = Callable[[ConsoleServer, aiohttp.ClientSession], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(
    overview: Overview, host: str = "127.0.0.1", explain: Explain | None = None
) -> AsyncIterator[ConsoleServer]:
    """A console on a free port."""
    console = ConsoleServer(overview, host, 0, explain=explain)
    await console.open()
    try:
        yield console
    finally:
        await console.close()


def run(use: Use, hall: Hall | None = None, host: str = "127.0.0.1", explain: Explain | None = None) -> None:
    """Have `use` talk to a console that shows the hall."""

    async def main() -> None:
        overview = (hall or busy_hall()).overview
        async with serving(overview, host, explain) as console, aiohttp.ClientSession() as session:
            await use(console, session)

    asyncio.run(main())


async def next_event(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The next Server-Sent Event as its fields."""
    fields: dict[str, str] = {}
    while line := (await asyncio.wait_for(response.content.readline(), 5)).decode().rstrip("\n"):
        name, _, value = line.partition(": ")
        fields[name] = value
    return fields


def test_every_answer_carries_the_security_headers() -> None:
    """Pages, files, JSON, the stream and errors alike: nothing but our own scripts may ever run."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        for path, status in (("", 200), ("static/page.js", 200), ("api/overview", 200), ("events", 200), ("no", 404)):
            async with session.get(console.url + path) as response:
                assert response.status == status
                policy = response.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Referrer-Policy"] == "no-referrer"
                assert response.headers["Server"] == "edgemesh"

    run(use)


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """Every address is our own and loads; no script or style stands in the page itself."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async with session.get(console.url) as response:
            page = await response.text()
            assert response.content_type == "text/html"
        assert "http://" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "https://" not in page
        assert "<style" not in page
        assert "<script src=" in page
        assert page.count("<script") == 1
        assert " style=" not in page
        assert " onclick=" not in page
        for name, kind in (("style.css", "text/css"), ("page.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
            assert f'"/static/{name}"' in page
            async with session.get(f"{console.url}static/{name}") as response:
                text = await response.text()
                assert response.content_type == kind
            assert "innerHTML" not in text
            assert "://" not in text.replace("http://www.w3.org/2000/svg", "")

    run(use)


def test_the_overview_as_json() -> None:
    """`/api/overview` holds what the Overview says, and decodes into a Snapshot."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async with session.get(console.url + "api/overview") as response:
            assert response.content_type == "application/json"
            snapshot = msgspec.json.decode(await response.read(), type=Snapshot)
        assert [alert.cause for alert in snapshot.alerts] == ["Inlet valve closing"]
        assert snapshot.orders[0].executor == "mara"

    run(use)


class Chain(msgspec.Struct):
    id: str


def explain(prefix: str) -> Chain:
    if prefix == "busy":
        raise StoreError("the history is locked", retryable=True)
    if prefix != "ab12":
        raise InputError("no alert begins like this", source=prefix, wish="the latest: ab12cd34 pump-1")
    return Chain("ab12cd34")


@pytest.mark.parametrize(
    ("prefix", "status", "says"),
    [
        ("ab12", 200, '{"id":"ab12cd34"}'),
        ("zz", 404, "zz: no alert begins like this (the latest: ab12cd34 pump-1)"),
        ("busy", 503, "the history is locked"),
        ("a/b", 404, ""),
    ],
)
def test_why_an_alert_was_raised(prefix: str, status: int, says: str) -> None:
    """The chain of one alert as JSON; one that is not there is not found, and says which are."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{console.url}api/alerts/{prefix}/why") as response:
            assert response.status == status
            assert says in (await response.text())
            assert response.headers["X-Content-Type-Options"] == "nosniff"

    run(use, explain=explain)


def test_without_a_history_nobody_can_say_why() -> None:
    """The address is not there then."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{console.url}api/alerts/ab12/why") as response:
            assert response.status == 404

    run(use)


def test_health() -> None:
    """`/healthz` answers while the event loop lives."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async with session.get(console.url + "healthz") as response:
            assert (response.status, await response.text()) == (200, "ok\n")

    run(use)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(method: str) -> None:
    """The console is read-only."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        for path in ("", "api/overview", "events"):
            async with session.request(method, console.url + path, data=b"x") as response:
                assert response.status == 405

    run(use)


@pytest.mark.parametrize("path", ["static/../server.py", "static/%2e%2e/server.py", "static//etc/passwd", "static/"])
def test_no_other_file_is_served(path: str) -> None:
    """Four files, by name."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", console.port)
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 404")

    run(use)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8080", 200),
        ("LOCALHOST", 200),
        ("[::1]:8080", 200),
        ("127.0.0.2", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("localhost.evil.example", 403),
        ("", 403),
    ],
)
def test_on_loopback_only_its_own_names_are_answered(host: str, status: int) -> None:
    """A page of another site that points its name at 127.0.0.1 gets nothing, not even the stream."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        for path in ("", "api/overview", "events", "healthz"):
            async with session.get(console.url + path, headers={"Host": host}) as response:
                assert response.status == status

    run(use)


def test_on_a_network_every_name_is_answered() -> None:
    """Bound to all interfaces, the machine may be called anything."""

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async with session.get(console.url + "healthz", headers={"Host": "plant.example"}) as response:
            assert response.status == 200

    run(use, host="0.0.0.0")


def test_the_stream_begins_with_the_present_and_follows_it() -> None:
    """A page that opens sees the present at once, and a new alert within a second or so."""
    hall = busy_hall()

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async with session.get(console.url + "events") as response:
            assert response.content_type == "text/event-stream"
            first = await next_event(response)
            assert first["event"] == "snapshot"
            assert len(msgspec.json.decode(first["data"], type=Snapshot).alerts) == 1
            hall.stand(hall.alert("pump-8", cause="line\none\r\n\r\nevent: snapshot\ndata: {}"))
            causes: list[str] = []
            while len(causes) < 2:
                event = await next_event(response)
                causes = [alert.cause for alert in msgspec.json.decode(event["data"], type=Snapshot).alerts]
            assert causes == ["Inlet valve closing", "line one event: snapshot data: {}"]

    run(use, hall)


def test_at_most_two_snapshots_a_second() -> None:
    """However much changes, a page is told no more often than each 500 ms."""
    hall = busy_hall()

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async def change() -> None:
            while True:
                hall.beat("detector-1", beat=hall.overview.changes)
                await asyncio.sleep(0.005)

        changing = asyncio.create_task(change())
        async with session.get(console.url + "events") as response:
            await next_event(response)
            begun_s = time.monotonic()
            for _ in range(3):
                await next_event(response)
            assert time.monotonic() - begun_s >= 2 * server.PERIOD_S - 0.05
        changing.cancel()

    run(use, hall)


def test_where_nothing_changes_the_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """No change, no snapshot, but a sign of life that the page can see."""
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.2)
    monkeypatch.setattr(server, "PERIOD_S", 0.01)

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async with session.get(console.url + "events") as response:
            events = [(await next_event(response))["event"] for _ in range(4)]
            assert events[0] == "snapshot"
            assert events[-2:] == ["alive", "alive"]

    run(use, Hall())


def test_there_is_room_for_so_many_pages(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    """One page too many is sent away with the time to wait, and has room when another goes."""
    monkeypatch.setattr(server, "MAX_CLIENTS", 2)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.05)

    async def use(console: ConsoleServer, session: aiohttp.ClientSession) -> None:
        async with session.get(console.url + "events") as first:
            await next_event(first)
            async with session.get(console.url + "events") as second, session.get(console.url + "events") as third:
                await next_event(second)
                assert third.status == 503
                assert third.headers["Retry-After"] == "5"
            await until(lambda: len(console._clients) == 1)
            async with session.get(console.url + "events") as fourth:
                assert fourth.status == 200

    run(use)


@contextlib.asynccontextmanager
async def stalled_page(console: ConsoleServer, hall: Hall, until: Until) -> AsyncIterator[Callable[[], bool]]:
    """A page that opens the stream of a flooded hall and reads nothing; calling it shows more, True: it is gone."""
    for number in range(200):
        hall.stand(hall.alert(f"pump-{number}", cause="x" * 200))
    loop = asyncio.get_running_loop()
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.setblocking(False)
        await loop.sock_connect(stalled, ("127.0.0.1", console.port))
        await loop.sock_sendall(stalled, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: console._clients)

        def show_more() -> bool:
            hall.overview.changes += 1
            return not console._clients

        yield show_more


def test_a_page_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    """A stalled connection costs one frame of memory, and after a while nothing."""
    monkeypatch.setattr(server, "WRITE_WITHIN_S", 0.1)
    monkeypatch.setattr(server, "PERIOD_S", 0.005)
    hall = busy_hall()

    async def use(console: ConsoleServer, _: aiohttp.ClientSession) -> None:
        async with stalled_page(console, hall, until) as show_more:
            await until(show_more, timeout_s=20)

    run(use, hall)


def test_a_page_that_does_not_read_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    """`close` takes less than a second while a write to a stalled page is under way."""
    monkeypatch.setattr(server, "PERIOD_S", 0.005)
    hall = busy_hall()

    async def use(console: ConsoleServer, _: aiohttp.ClientSession) -> None:
        async with stalled_page(console, hall, until) as show_more:
            (client,) = console._clients

            polls = 0

            def stuck() -> bool:
                """A frame has waited for 50 polls on end: the write before it does not return."""
                nonlocal polls
                show_more()
                polls = polls + 1 if client._news.is_set() else 0
                return polls >= 50

            await until(stuck, timeout_s=20)
            begun_s = time.monotonic()
            await console.close()
            assert time.monotonic() - begun_s < 1.0

    run(use, hall)


def test_it_closes_at_once_with_pages_open() -> None:
    """`close` ends streams and idle connections in less than a second, and twice is once."""

    async def main() -> None:
        console = ConsoleServer(busy_hall().overview, "127.0.0.1", 0)
        await console.open()
        async with aiohttp.ClientSession() as session:
            streams = [await session.get(console.url + "events") for _ in range(3)]
            for stream in streams:
                await next_event(stream)
            async with session.get(console.url) as response:
                await response.read()
            begun_s = time.monotonic()
            await console.close()
            assert time.monotonic() - begun_s < 1.0
            await console.close()
            for stream in streams:
                stream.close()
        with pytest.raises(OSError, match="onnect"):
            await asyncio.open_connection("127.0.0.1", console.port)

    asyncio.run(main())


def test_a_port_in_use_is_said_clearly() -> None:
    """The person learns which port it is and what to do."""

    async def main() -> None:
        async with serving(Hall().overview) as first:
            second = ConsoleServer(Hall().overview, "127.0.0.1", first.port)
            with pytest.raises(ConfigError, match=f"{first.port}.*in use") as raised:
                await second.open()
            assert "another port" in raised.value.wish
            await second.close()

    asyncio.run(main())


def test_an_address_that_is_not_ours_is_said_clearly() -> None:
    """A host that this machine does not have is the person's to mend."""

    async def main() -> None:
        with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
            await ConsoleServer(Hall().overview, "192.0.2.1", 0).open()

    asyncio.run(main())
