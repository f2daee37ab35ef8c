"""The intake: what stands between a gateway's drivers and its log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from edgemesh.agents import intake as module
from edgemesh.agents.clock import SystemClock
from edgemesh.agents.core import Input
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.intake import Intake
from edgemesh.agents.tracer import Tracer
from edgemesh.drivers.contract import Inlet, Settle
from edgemesh.errors import DriverError, InputError
from edgemesh.model.agents import Role
from edgemesh.model.samples import Batch, Record, Sample
from edgemesh.testing import at, make_sample
from tests.unit.agents.site import SOURCE, Keeper, Site, client, running

Until = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between the attempts of a driver a hundred times as short."""
    monkeypatch.setattr(module, "RETRY_S", (0.005, 0.02))


def _gateway(site: Site) -> Intake:
    runtime = site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
    return Intake(runtime, backlog_rows=5)


class Script:
    """A driver that does, at each run, the next thing it was told: raise an error, or put a value."""

    def __init__(self, *steps: BaseException | float) -> None:
        self.steps = list(steps)
        self.runs = 0

    async def run(self, inlet: Inlet) -> None:
        self.runs += 1
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, BaseException):
                raise step
            inlet.put([make_sample(step, source=SOURCE)])
            await asyncio.sleep(0)


def test_a_device_that_is_gone_is_tried_again(
    tmp_path: Path, until: Until, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After DriverError the driver is run again, with growing waits; it is said once per absence; nothing is lost."""
    monkeypatch.setattr(module, "QUIET_S", 0.0)

    async def body() -> None:
        async with running(tmp_path) as site:
            intake = _gateway(site)
            await site.start()
            gone = DriverError("no answer")
            driver = Script(1.0, gone, gone, gone, 2.0, gone, 3.0)
            intake.start([("gw.script-1", driver)])
            await intake.finished()
            await until(lambda: site.agents["gw"].engine.stats.readings == 3)
            assert (driver.runs, intake.stats.restarts, intake.stats.samples) == (5, 4, 3)

    asyncio.run(body())
    said = [record.getMessage() for record in caplog.records if "driver" in record.getMessage()]
    assert said == ["driver gw.script-1: no answer; trying again"] * 2


def test_a_device_that_comes_and_goes_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Absences that follow each other quickly are said once; the rest is for who logs at debug."""

    async def body() -> None:
        async with running(tmp_path) as site:
            intake = _gateway(site)
            await site.start()
            gone = DriverError("no answer")
            intake.start([("gw.script-1", Script(1.0, gone, 2.0, gone, 3.0, gone, 4.0))])
            await intake.finished()

    with caplog.at_level("DEBUG", logger=module.__name__):
        asyncio.run(body())
    levels = [record.levelname for record in caplog.records if "driver" in record.getMessage()]
    assert levels == ["WARNING", "DEBUG", "DEBUG"]


def test_data_that_cannot_be_read_ends_the_driver_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """InputError is for the person: the driver stays off, and who waits for it gets the error."""

    async def body() -> None:
        async with running(tmp_path) as site:
            intake = _gateway(site)
            await site.start()
            intake.start([("gw.script-1", Script(InputError("no such file")))])
            with pytest.raises(InputError):
                await intake.finished()

    asyncio.run(body())
    assert "it stays off" in caplog.text


def test_a_driver_with_a_fault_is_said_and_the_others_go_on(
    tmp_path: Path, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """What a driver may not raise ends that driver, with its trace in the log; the other drivers read on."""

    async def body() -> None:
        async with running(tmp_path) as site:
            intake = _gateway(site)
            await site.start()
            intake.start([("gw.bad-1", Script(KeyError("a fault"))), ("gw.good-2", Script(1.0, 2.0))])
            await until(lambda: site.agents["gw"].engine.stats.readings == 2)
            await until(lambda: "driver.gw.bad-1 has a fault and stays off" in caplog.text)
            await intake.stop()

    asyncio.run(body())
    assert "KeyError" in caplog.text


def test_settled_after_the_commit_only(tmp_path: Path, until: Until) -> None:
    """A driver's message is settled once its samples are on the disk, not before."""
    heads: list[int] = []

    async def body() -> None:
        async with running(tmp_path) as site:
            intake = _gateway(site)
            journal = site.agents["gw"].engine.journal
            intake.put([make_sample(1.0, source=SOURCE)], lambda: heads.append(journal.head))
            assert heads == []
            await site.start()
            await until(lambda: heads)
            assert heads == [1]

    asyncio.run(body())


def test_room_waits_for_the_readers(tmp_path: Path, until: Until) -> None:
    """A driver that could flood the gateway is held back while the readers are more than `backlog_rows` behind."""

    async def body() -> None:
        async with running(tmp_path) as site:
            intake = _gateway(site)
            site.broker.stop()
            await site.start()
            for value in range(10):
                intake.put([make_sample(float(value), source=SOURCE)])
                await until(lambda: not site.agents["gw"].waiting)
            await asyncio.wait_for(intake.room(), 5)  # what is measured now does not wait for them
            room = asyncio.create_task(intake.room(follow=True))
            await asyncio.sleep(0.05)
            assert not room.done()
            site.add("rec", Role.RECORDER, Keeper)
            site.broker.start()
            await site.start("rec")
            await asyncio.wait_for(room, 5)

    asyncio.run(body())


def test_listening_and_refusing(tmp_path: Path, until: Until) -> None:
    """A driver hears its topics once however often it is run again; what it refuses is in the quarantine."""
    heard: list[bytes] = []

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as device:
            intake = _gateway(site)

            def take(topic: str, payload: bytes, settle: Settle) -> None:
                heard.append(payload)
                settle()
                intake.reject("bad_value", topic, payload, "no number")

            intake.listen("hall/+/data", take)
            intake.listen("hall/+/data", take)
            await site.start()
            await until(lambda: site.agents["gw"].bus.linked)
            device.publish("hall/p1/data", b"x")
            await until(lambda: site.peek("gw").rejections() == {"bad_value": 1})
            assert heard == [b"x"]
            assert site.peek("gw").quarantine(limit=1)[0].origin == "hall/p1/data"

    asyncio.run(body())


def test_what_waits_to_be_kept_is_bounded(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While nothing can be kept, memory holds so many puts; more are turned away unsettled, counted, and said once."""
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    settled: list[int] = []

    async def body() -> None:
        async with running(tmp_path) as site:
            intake = _gateway(site)
            await site.start()
            journal = site.agents["gw"].engine.journal
            journal._connection.execute("PRAGMA query_only = ON")
            for number in range(25):
                intake.put([make_sample(float(number), source=SOURCE)], lambda: settled.append(1))
            intake.reject("not_json", "here", b"{")
            kept = 26 - intake.stats.turned_away
            assert (site.agents["gw"].waiting, settled) == (10, [])
            assert 8 <= kept <= 10
            journal._connection.execute("PRAGMA query_only = OFF")
            await until(lambda: len(settled) == kept)
            intake.put([make_sample(1.0, source=SOURCE)], lambda: settled.append(2))
            await until(lambda: settled[-1] == 2)

    asyncio.run(body())
    assert caplog.text.count("turned away") == 1


TRACEPARENT = "00-" + "d" * 32 + "-" + "e" * 16 + "-01"


class Listener:
    """Puts a sample for each message; the payload is the sample's own trace."""

    def __init__(self) -> None:
        self.heard: list[Inlet] = []

    async def run(self, inlet: Inlet) -> None:
        def take(topic: str, payload: bytes, settle: Settle) -> None:
            inlet.put([Sample(SOURCE, at(1.0), (1.0,), trace=payload.decode())], settle)
            self.heard.append(inlet)

        inlet.listen("plain/+", take)
        await asyncio.Event().wait()


class Noting(GatewayCore):
    """Notes the traces of batches."""

    def __init__(self, traces: list[str]) -> None:
        super().__init__()
        self._traces = traces

    def handle(self, pack: Input) -> Sequence[Record]:
        made = super().handle(pack)
        self._traces += [record.trace for record in made if isinstance(record, Batch)]
        return made


@pytest.mark.parametrize("traced", [True, False])
def test_what_a_device_says_of_its_trace_is_kept_where_it_is_one(tmp_path: Path, until: Until, traced: bool) -> None:
    """By the message's user property or by the sample itself, which goes first; nonsense is counted, nothing is lost.

    What is put later belongs to no message. Where no traces are recorded all of it is left out.
    """
    traces: list[str] = []
    other = TRACEPARENT.replace("d", "c")

    async def body() -> float:
        async with running(tmp_path) as site, client(site, "device") as device:
            runtime = site.add("gw", Role.GATEWAY, lambda: Noting(traces), readers=["recorder"])
            runtime.engine.tracer = Tracer("gw", Role.GATEWAY, SystemClock(), share=0.0) if traced else None
            intake, driver = Intake(runtime), Listener()
            await site.start()
            intake.start([("listener", driver)])
            await until(lambda: intake._listening)
            sent = [("", TRACEPARENT), (other, TRACEPARENT), ("junk" * 9_000, ""), ("", "")]
            for number, (own, header) in enumerate(sent, start=1):
                await until(lambda own=own, header=header: device.publish("plain/a", own.encode(), traceparent=header))
                await until(lambda number=number: len(traces) == number)
            driver.heard[0].put([make_sample(5.0, source=SOURCE)])
            await until(lambda: len(traces) == len(sent) + 1)
            await intake.stop()
            return runtime.card().stats["traces_ignored"]

    ignored = asyncio.run(body())
    assert traces == ([TRACEPARENT, other, "", "", ""] if traced else [""] * 5)
    assert ignored == int(traced)
