"""The page in a real browser: it shows what the Overview says, follows it, and says when it can't."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from edgemesh.console import server
from edgemesh.console.server import ConsoleServer
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import OrderState
from tests.unit.console.hall import Hall, busy_hall

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
    "--remote-debugging-port=0",
]


def find_browser() -> str:
    """Where Chromium is. Not installed: skip with a hint, but fail where the environment says that this is CI."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if program := shutil.which(name):
            return program
    hint = "needs Chromium to look at the page; install it (Debian: apt install chromium)"
    if os.environ.get("CI"):
        pytest.fail(hint)
    pytest.skip(hint)


class Page:
    """One tab of a browser. `complaints` are its errors, violations of the Content-Security-Policy among them."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            answer = msgspec.json.decode((await asyncio.wait_for(self._socket.receive(), 20)).data)
            if answer.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.complaints.append(str(answer["params"]))
            if answer.get("id") == number:
                return dict(answer["result"])

    async def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str, timeout_s: float = 15.0) -> None:
        """Return once the expression is true in the page."""
        deadline = time.monotonic() + timeout_s
        while not await self.ask(expression):
            if time.monotonic() > deadline:
                pytest.fail(f"not within {timeout_s} s: {expression}\n{await self.ask('document.body.innerText')}")
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[str]:
    """A fresh browser, by the port on which it can be steered."""
    command = [find_browser(), *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file, deadline = folder / "DevToolsActivePort", time.monotonic() + 20
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert process.poll() is None, "the browser did not start"
            assert time.monotonic() < deadline, "the browser did not listen within 20 s"
            time.sleep(0.02)
        yield port_file.read_text().split("\n")[0]
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def tab(port: str, url: str) -> AsyncIterator[Page]:
    """The browser's tab, with the page open in it."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json") as response:
            blank = next(entry for entry in await response.json() if entry["type"] == "page")
        async with session.ws_connect(blank["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            page = Page(socket)
            for domain in ("Runtime", "Log", "Page"):
                await page.call(f"{domain}.enable")
            await page.call("Page.navigate", url=url)
            await page.until("document.readyState === 'complete' && document.querySelector('#verdict') !== null")
            yield page


def look(hall: Hall, folder: Path, use: Callable[[Page, ConsoleServer], Awaitable[None]]) -> None:
    """Open the hall's page in a browser and have `use` look at it."""

    async def main(port: str) -> None:
        console = ConsoleServer(hall.overview, "127.0.0.1", 0, monotonic=lambda: hall.now_s, now_ns=lambda: hall.now_ns)
        await console.open()
        try:
            async with tab(port, console.url) as page:
                await use(page, console)
        finally:
            await console.close()

    with browser(folder) as port:
        asyncio.run(main(port))


def test_the_page_shows_and_follows_what_goes_on(tmp_path: Path) -> None:
    """Alert, order and its step, agents and devices are there; a new alert appears, and an emptied one goes."""
    hall = busy_hall()

    async def use(page: Page, console: ConsoleServer) -> None:
        await page.until("document.querySelector('#alerts li')?.innerText.includes('Inlet valve closing')")
        order = await page.ask("document.querySelector('#orders li').innerText")
        assert "Open the inlet valve of pump-3" in order
        assert "with mara" in order
        assert await page.ask("document.querySelector('#orders [aria-current=step]').innerText") == "dispatched"
        assert await page.ask("document.querySelectorAll('#agents li').length") == 3
        assert await page.ask("document.querySelectorAll('#devices li').length") == 12
        assert "verified" in await page.ask("document.querySelector('#closed li').innerText")
        assert await page.ask("document.querySelector('#verdict').innerText") == "1 critical alert."
        assert await page.ask("document.querySelector('#spark-line').getAttribute('d').length > 100")
        hall.stand(hall.alert("pump-8", cause="Bearing too hot"))
        await page.until("document.querySelector('#alerts').innerText.includes('Bearing too hot')")
        for name in ("pump-3", "pump-8"):
            hall.say(hall.topics.alert(hall.alert(name).id), b"")
        await page.until("document.querySelector('#verdict').innerText === 'Nothing is wrong.'")
        assert await page.ask("document.querySelector('#alerts-empty').checkVisibility()")
        assert page.complaints == []

    look(hall, tmp_path, use)


def test_a_lost_connection_is_said_and_mended(tmp_path: Path) -> None:
    """When the console goes, the page says so and greys out; when it returns, the page goes on by itself."""
    hall = busy_hall()

    async def use(page: Page, console: ConsoleServer) -> None:
        await page.until("document.querySelector('#alerts li')")
        assert not await page.ask("document.querySelector('#lost').checkVisibility()")
        await console.close()
        await page.until("document.querySelector('#lost').innerText.includes('Connection to the console lost')")
        assert await page.ask("document.querySelector('main').className") == "stale"
        assert "Inlet valve closing" in await page.ask("document.querySelector('#alerts').innerText")
        await console.open()
        await page.until("!document.querySelector('#lost').checkVisibility()")
        assert await page.ask("document.querySelector('main').className") == ""
        hall.overview.link(False, hall.now_s)
        await page.until("document.querySelector('#lost').innerText.includes('broker')")

    look(hall, tmp_path, use)


def test_a_page_too_many_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that was sent away says so, asks again by itself, and shows everything once there is room."""
    monkeypatch.setattr(server, "MAX_CLIENTS", 0)

    async def use(page: Page, console: ConsoleServer) -> None:
        await page.until("document.querySelector('#lost').innerText.includes('Trying again')")
        monkeypatch.setattr(server, "MAX_CLIENTS", 1)
        await page.until("document.querySelector('#alerts').innerText.includes('Inlet valve closing')")
        assert not await page.ask("document.querySelector('#lost').checkVisibility()")

    look(busy_hall(), tmp_path, use)


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    """Markup and scripts in causes and titles are shown, never run, and make no element."""
    hall = busy_hall()
    evil = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    hall.stand(hall.alert("pump-8", cause=evil, id=derive_id("evil")))
    hall.stand(hall.order("pump-8", OrderState.ON_HOLD, title=evil, note=evil))
    hall.pack("orders", "scheduler-1", hall.order("pump-8", OrderState.CANCELLED, title=evil))
    hall.beat("detector-1", beat=99, version=evil[:64], stats={evil: 1.0})

    async def use(page: Page, console: ConsoleServer) -> None:
        await page.until("document.querySelector('#alerts').innerText.includes('<img src=x')")
        assert "<script>" in await page.ask("document.querySelector('#orders').innerText")
        assert await page.ask("document.querySelectorAll('img').length") == 0
        assert await page.ask("document.querySelectorAll('script').length") == 1
        assert await page.ask("document.title") == "(2) edgemesh hall"
        assert page.complaints == []

    look(hall, tmp_path, use)


def test_a_long_list_is_usable(tmp_path: Path) -> None:
    """A flood is folded, unfolds by a button, and a word finds its lines; nothing is wider than a phone."""
    hall = busy_hall()
    for number in range(80):
        hall.stand(hall.alert(f"pump-{number:02d}", cause="W" * 300 if number == 7 else "too hot"))

    async def use(page: Page, console: ConsoleServer) -> None:
        await page.until("document.querySelectorAll('#alerts li').length === 6")
        more = "document.querySelector('#alerts-more')"
        assert await page.ask(f"{more}.innerText") == "Show all 81"
        await page.ask(f"{more}.click()")
        assert await page.ask("document.querySelectorAll('#alerts li').length") == 81
        assert await page.ask(f"{more}.getAttribute('aria-expanded')") == "true"
        await page.ask(
            "filter = document.querySelector('#filter'), filter.value = 'PUMP-07', "
            "filter.dispatchEvent(new Event('input')), 0"
        )
        assert await page.ask("document.querySelectorAll('#alerts li').length") == 1
        await page.ask("filter.value = '', filter.dispatchEvent(new Event('input')), 0")
        await page.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        assert await page.ask("document.documentElement.scrollWidth") <= 390
        assert await page.ask(
            "[...document.querySelectorAll('#alerts .cause')].every(node => node.scrollWidth <= node.clientWidth)"
        )

    look(hall, tmp_path, use)


def test_an_empty_site_is_calm(tmp_path: Path) -> None:
    """Before anything was heard, every list says in words that it is empty."""

    async def use(page: Page, console: ConsoleServer) -> None:
        await page.until("document.querySelector('#verdict').innerText.startsWith('Waiting for the first agents')")
        text = await page.ask("document.querySelector('main').innerText")
        for words in ("No alert is firing", "No order is open", "No agent has been heard", "No device has spoken"):
            assert words in text
        assert page.complaints == []

    look(Hall(), tmp_path, use)
