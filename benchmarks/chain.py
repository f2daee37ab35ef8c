"""What the whole chain costs, beside the same job without guarantees: `python benchmarks/chain.py [--json]`.

The job: readings come in, one beyond a limit becomes an order on its executor's topic. A generator in this process
plays devices (JSON over MQTT, QoS 1) and the executor, so that one monotonic clock measures from the moment a device
publishes to the arrival of the order. README.md beside this file says what the figures mean.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgemesh.bus.address import Address, parse_addresses
from edgemesh.bus.contract import Message
from edgemesh.bus.embedded import EmbeddedBroker, Preference, start_broker
from edgemesh.bus.mqtt import MqttBus
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.store.history import History
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

HERE = Path(__file__).parent
BASELINES = HERE / "baselines"
EMBEDDED: dict[str, Preference] = {"embedded": "auto", "mosquitto": "mosquitto", "amqtt": "amqtt"}
ROLES = ("gateway", "detector", "scheduler", "recorder", "registry")
RATE = 500
METRICS = 5
"""Readings of a message at the steady rate."""
WIDE = 10
"""Readings of a message at saturation."""
DEVICES = 300
WELL, ILL = 20.0, 150.0
CALM_AFTER = 10
"""So many messages after the one that broke the limit, the device is well again."""
STEADY_BREAKS, FLOOD_BREAKS = 11, 100
"""Every so-manieth message breaks the limit."""
ROOM = 2_000
"""Messages that may be under way at saturation."""
REPEATS = 3
PATIENCE_S = 15.0
EXECUTOR = "tech-1"
CONFIG = """\
site = {{ id = "bench", data = "{data}", broker = "{broker}" }}
gateway = [{{ id = "gateway", driver = [{{ type = "mqtt_json", topic = "bench/{{device}}/data" }}] }}]
detector = {{ agents = ["detector"] }}
scheduler = {{ agent = "scheduler" }}
recorder = {{ agent = "recorder" }}
registry = {{ agent = "registry" }}

[[detection.rule]]
kind = "limit"
metric = "value"
above = 100.0
clear = 90.0

[[dispatch.triage]]
title = "Look after {{asset}}"
skills = {{ bench = 0.5 }}
"""


class Failure(Exception):
    """The benchmark can't go on."""


# -- the load: devices and their executor ------------------------------------------------------------------------------


def make_plan(break_every: int) -> Iterator[tuple[str, float]]:
    """Devices in turn with their values; every so-manieth breaks the limit on a device that is well."""
    names = [f"device-{number:03}" for number in range(DEVICES)]
    ill: deque[tuple[int, str]] = deque()
    fresh, rest = itertools.cycle(names), itertools.cycle(names)
    for slot in itertools.count():
        if ill and ill[0][0] <= slot:
            yield ill.popleft()[1], WELL
        elif slot % break_every == 0:
            device = next(fresh)
            ill.append((slot + CALM_AFTER, device))
            yield device, ILL
        else:
            waiting = {device for _, device in ill}
            yield next(device for device in rest if device not in waiting), WELL


@dataclass
class Load:
    """Sends readings and hears of orders. `delays_ms` are from a device's publish to the order's arrival."""

    send: Callable[[str, float, int], bool]
    delays_ms: list[float] = field(default_factory=list)
    under_way: dict[str, int] = field(default_factory=dict)
    sent: int = 0

    def put(self, plan: Iterator[tuple[str, float]], metrics: int) -> None:
        device, value = next(plan)
        if value == ILL:
            self.under_way[device] = time.perf_counter_ns()
        if not self.send(device, value, metrics):
            raise Failure("the broker takes no more messages")
        self.sent += metrics

    def heard(self, payload: bytes) -> None:
        now = time.perf_counter_ns()
        for order in json.loads(payload)["orders"] if payload else ():
            sent = self.under_way.pop(order["asset"], None)
            if sent is not None:
                self.delays_ms.append((now - sent) / 1e6)

    async def steady(self, seconds: float, metrics: int = METRICS) -> list[float]:
        """Send readings at the steady rate; return the delays of the orders that came."""
        self.delays_ms.clear()
        rate = RATE / metrics
        plan, began = make_plan(round(rate / 27)), time.perf_counter()
        for slot in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, began + slot / rate - time.perf_counter()))
            self.put(plan, metrics)
        await asyncio.sleep(0.3)
        return list(self.delays_ms)

    async def flood(self, seconds: float, metrics: int, room: Callable[[], bool]) -> None:
        """Send as much as there is room for."""
        plan, end = make_plan(FLOOD_BREAKS), time.perf_counter() + seconds
        while time.perf_counter() < end:
            if room():
                for _ in range(20):
                    self.put(plan, metrics)
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(0.001)


def make_bodies() -> dict[tuple[float, int], bytes]:
    """What a device says: `value`, and at saturation nine more metrics."""
    chance = random.Random(7)
    more = [(f"metric_{number}", round(chance.uniform(0, 90), 3)) for number in range(1, WIDE)]
    return {
        (value, metrics): json.dumps({"value": value} | dict(more[: metrics - 1])).encode()
        for value in (WELL, ILL)
        for metrics in range(1, WIDE + 1)
    }


@contextlib.asynccontextmanager
async def mqtt_load(address: Address, dispatch_topic: str) -> AsyncIterator[tuple[Load, MqttBus]]:
    """Devices and executor as one MQTT client."""
    bus, bodies = MqttBus((address,), "bench-load", window=5_000), make_bodies()

    def send(device: str, value: float, metrics: int) -> bool:
        return bus.publish(f"bench/{device}/data", bodies[value, metrics])

    load = Load(send)

    def heard(message: Message) -> None:
        load.heard(message.payload)
        message.settle()

    bus.subscribe(dispatch_topic, heard)
    await bus.open()
    try:
        await until(lambda: bus.linked, "no broker")
        yield load, bus
    finally:
        await bus.close()


async def until(done: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise Failure(problem)
        await asyncio.sleep(0.01)


# -- processes and what they cost --------------------------------------------------------------------------------------


class Processes:
    """Processes by name, ended in any case; their CPU time in seconds and memory in MB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids: dict[str, int] = {}
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=log)
        self._running.append(process)
        self.pids[name] = process.pid
        return process

    def cpu_s(self) -> dict[str, float]:
        return {name: cpu_of(pid) for name, pid in self.pids.items()}

    def memory_mb(self) -> dict[str, float]:
        return {name: round(memory_of(pid) / 1e6, 1) for name, pid in self.pids.items()}

    def check(self) -> None:
        for process in self._running:
            if process.poll() is not None:
                raise Failure(f"a process ended: {process.args!r}, see {self.folder}")

    def stop(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def cpu_of(pid: int) -> float:
    """User and system time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> int:
    """Resident memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def per_reading(before: dict[str, float], after: dict[str, float], readings: int) -> dict[str, float]:
    """CPU time per reading in µs."""
    return {name: round((after[name] - before[name]) / readings * 1e6, 1) for name in after}


# -- what is measured --------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """One way of doing the job. `p50_ms` and `p99_ms` are those of the quietest repeat; CPU in µs per reading."""

    name: str
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    repeats_ms: list[tuple[float, float]] = field(default_factory=list)
    orders: int = 0
    missing: int = 0
    steady_cpu_us: dict[str, float] = field(default_factory=dict)
    saturated_per_s: float = 0.0
    saturated_cpu_us: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)

    async def take_steady(self, load: Load, processes: Processes, seconds: float) -> None:
        before, sent = processes.cpu_s(), load.sent
        for _ in range(REPEATS):
            delays = await load.steady(seconds / REPEATS)
            self.orders += len(delays)
            cuts = statistics.quantiles(delays, n=100, method="inclusive")
            self.repeats_ms.append((round(cuts[49], 3), round(cuts[98], 3)))
        self.steady_cpu_us = per_reading(before, processes.cpu_s(), load.sent - sent)
        self.p50_ms, self.p99_ms = min(self.repeats_ms, key=lambda both: both[1])
        self.missing = len(load.under_way)
        self.memory_mb = processes.memory_mb()
        processes.check()

    async def take_saturated(
        self, load: Load, processes: Processes, seconds: float, metrics: int, done: Callable[[], int]
    ) -> None:
        """`done` says how many readings have come to the end of the chain."""
        before, sent, began = processes.cpu_s(), load.sent, time.perf_counter()
        await load.flood(seconds, metrics, lambda: load.sent - done() < ROOM * metrics)
        await until(lambda: done() >= load.sent, "readings are missing")
        readings = load.sent - sent
        self.saturated_per_s = round(readings / (time.perf_counter() - began))
        self.saturated_cpu_us = per_reading(before, processes.cpu_s(), readings)


@dataclass(frozen=True)
class Options:
    broker: str
    seconds: float
    folder: Path


@contextlib.asynccontextmanager
async def a_broker(options: Options, processes: Processes) -> AsyncIterator[Address]:
    prefer = EMBEDDED.get(options.broker)
    if prefer is None:
        yield parse_addresses(options.broker)[0]
        return
    broker: EmbeddedBroker = await start_broker(prefer, folder=processes.folder / "broker")
    if broker.pid is not None:
        processes.pids["broker"] = broker.pid
    try:
        yield broker.address
    finally:
        await broker.stop()


async def measure_chain(options: Options, *, split: bool) -> Result:
    """The chain as it runs in a plant, with a process per role or one for all."""
    result = Result("edgemesh, a process per role" if split else "edgemesh, one process")
    topics = Topics("bench")
    async with scene(options) as (processes, address):
        config = processes.folder / "bench.toml"
        config.write_text(CONFIG.format(data=processes.folder / "data", broker=address))
        run = "from edgemesh.cli import main; main()"
        for role in ROLES if split else ("all roles",):
            processes.start(role, "-c", run, "run", str(config), "--log-level=warning", *([f"--role={role}"] if split else []))
        async with mqtt_load(address, topics.dispatch(EXECUTOR)) as (load, bus):
            beating = asyncio.create_task(beat(bus, topics))
            history = await warm_up(load, processes)
            with history:
                await result.take_steady(load, processes, options.seconds)
                await until(lambda: history.counts().readings >= load.sent, "readings are missing")
                await result.take_saturated(
                    load, processes, options.seconds / 2, WIDE, Throttled(lambda: history.counts().readings)
                )
            beating.cancel()
    return result


class Throttled:
    """Asks at most every 20 ms."""

    def __init__(self, ask: Callable[[], int]) -> None:
        self._ask, self._said, self._at_s = ask, ask(), time.monotonic()

    def __call__(self) -> int:
        if time.monotonic() - self._at_s > 0.02:
            self._said, self._at_s = self._ask(), time.monotonic()
        return self._said


async def beat(bus: MqttBus, topics: Topics) -> None:
    """The executor's card, once a second."""
    for number in itertools.count(1):
        card = Card(
            agent=EXECUTOR,
            role=Role.EXECUTOR,
            state=Presence.UP,
            incarnation="bench",
            beat=number,
            skills={"bench": 1.0},
            max_load=1_000,
        )
        bus.publish(topics.card(EXECUTOR), codec.encode(card), retain=True)
        await asyncio.sleep(1.0)


async def warm_up(load: Load, processes: Processes) -> History:
    """Send until the first order comes and the recorder has everything; return its history."""
    deadline = time.monotonic() + PATIENCE_S
    while not await load.steady(0.5):
        processes.check()
        if time.monotonic() > deadline:
            raise Failure("no order has come")
    file = processes.folder / "data" / "agents" / "recorder.db"
    with History(file) as history:
        await asyncio.sleep(0.5)
        load.sent = history.counts().readings
    load.under_way.clear()
    return History(file)


@contextlib.asynccontextmanager
async def scene(options: Options) -> AsyncIterator[tuple[Processes, Address]]:
    with tempfile.TemporaryDirectory(prefix="edgemesh-bench-", dir=options.folder) as folder:
        processes = Processes(Path(folder))
        async with a_broker(options, processes) as address:
            try:
                yield processes, address
            finally:
                processes.stop()


async def measure_paho(options: Options) -> Result:
    """The plain paho script through a broker of the same kind."""
    result = Result("plain paho script")
    async with scene(options) as (processes, address):
        processes.start("script", str(BASELINES / "paho_script.py"), address.host, str(address.port))
        async with mqtt_load(address, f"plain/dispatch/{EXECUTOR}") as (load, _):
            await measure_baseline(result, load, processes, options)
    return result


async def measure_asyncio(options: Options) -> Result:
    """The bare protocol: one connection, no broker."""
    result = Result("bare asyncio protocol")
    with tempfile.TemporaryDirectory(prefix="edgemesh-bench-") as folder:
        processes = Processes(Path(folder))
        try:
            process = processes.start("script", str(BASELINES / "asyncio_protocol.py"))
            assert process.stdout is not None
            port = int(await asyncio.to_thread(process.stdout.readline))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            length = struct.Struct(">I")

            def send(device: str, value: float, metrics: int) -> bool:
                body = json.dumps({"device": device, "value": value}).encode()
                writer.write(length.pack(len(body)) + body)
                return True

            load = Load(send)

            async def listen() -> None:
                while True:
                    (size,) = length.unpack(await reader.readexactly(length.size))
                    load.heard(await reader.readexactly(size))

            listening = asyncio.create_task(listen())
            await measure_baseline(result, load, processes, options)
            listening.cancel()
            writer.close()
        finally:
            processes.stop()
    return result


async def measure_baseline(result: Result, load: Load, processes: Processes, options: Options) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await load.steady(0.2):
        processes.check()
        if time.monotonic() > deadline:
            raise Failure("no order has come")
    load.under_way.clear()
    await result.take_steady(load, processes, options.seconds / 2)
    load.under_way.clear()
    # Nothing counts what arrived here: at most some orders are under way, and the last one tells the end.
    await result.take_saturated(
        load, processes, options.seconds / 8, 1, lambda: load.sent - FLOOD_BREAKS * len(load.under_way)
    )


# -- what is said ------------------------------------------------------------------------------------------------------


def fsync_ms(folder: Path) -> float:
    """Median of writing 4 KB and having them on the disk."""
    taken = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e3)
    return round(statistics.median(taken), 2)


async def measure(options: Options) -> list[Result]:
    return [
        await measure_chain(options, split=True),
        await measure_chain(options, split=False),
        await measure_paho(options),
        await measure_asyncio(options),
    ]


def show(results: list[Result], disk_ms: float, options: Options) -> None:
    for each in results:
        print(each)
    print(disk_ms)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=8.0, help="at the steady rate, for each way of running it")
    parser.add_argument("--broker", default="embedded", help="embedded, mosquitto, amqtt or mqtt://HOST:PORT")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk to measure with")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    options = Options(wanted.broker, wanted.seconds, wanted.folder)
    disk_ms = fsync_ms(options.folder)
    try:
        results = asyncio.run(measure(options))
    except Failure as failure:
        print(f"chain: {failure}", file=sys.stderr)
        return 1
    show(results, disk_ms, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
