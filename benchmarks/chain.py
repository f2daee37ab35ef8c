"""What the whole chain costs, beside the same job without guarantees: `python benchmarks/chain.py [--json]`.

The job: readings come in, one beyond a limit becomes an order on its executor's topic. A generator in this process
plays devices (JSON over MQTT, QoS 1) and the executor, so that one monotonic clock measures from the moment a device
publishes to the arrival of the order. README.md beside this file says what the figures mean.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import importlib
import importlib.util
import itertools
import json
import os
import platform
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgemesh.bus.address import Address, parse_addresses
from edgemesh.bus.contract import Message
from edgemesh.bus.embedded import Preference, start_broker
from edgemesh.bus.mqtt import MqttBus
from edgemesh.errors import EdgemeshError
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.store.history import History
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

HERE = Path(__file__).parent
BASELINES = HERE / "baselines"
EMBEDDED: dict[str, Preference] = {"embedded": "auto", "mosquitto": "mosquitto", "amqtt": "amqtt"}
ROLES = ("gateway", "detector", "scheduler", "recorder", "registry")
RATE = 500
"""Readings per second at the steady rate, whatever the messages hold."""
WIDE = 10
"""Readings of a message at saturation."""
DEVICES = 300
WELL, ILL = 20.0, 150.0
CALM_AFTER = 10
"""So many messages after the one that broke the limit, the device is well again."""
ORDERS_PER_S = 25
FLOOD_BREAKS = 100
"""At saturation every so-manieth message breaks the limit."""
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

# Each break is to open an order of its own, however soon its device breaks again.
[dispatch.flapping]
count = 100

[[dispatch.triage]]
title = "Look after {{asset}}"
skills = {{ bench = 0.5 }}
"""


NOTES = """
edgemesh: every reading, alert, order and cursor is in SQLite with fsync before anybody hears of it; four passes of
the broker at QoS 1, three commits one after the other. The baselines keep nothing: two passes at QoS 0 (paho), none
(asyncio). Saturated: messages of 10 readings from the generator through the broker to the recorder's commit, at most
2,000 messages under way; the generator shares the cores."""


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

    async def steady(self, seconds: float, metrics: int) -> list[float]:
        """Send readings at the steady rate; return the delays of the orders that came."""
        self.delays_ms.clear()
        rate = RATE / metrics
        plan, began = make_plan(max(2, round(rate / ORDERS_PER_S))), time.perf_counter()
        for slot in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, began + slot / rate - time.perf_counter()))
            self.put(plan, metrics)
        await asyncio.sleep(0.2)
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


@functools.cache
def make_body(value: float, metrics: int, device: str = "") -> bytes:
    """What a device says: `value`, and more metrics that nothing is wrong with."""
    said: dict[str, object] = {"device": device} if device else {}
    return json.dumps(said | {"value": value} | {f"metric_{k}": 3.125 * k for k in range(1, metrics)}).encode()


@contextlib.asynccontextmanager
async def mqtt_load(address: Address, dispatch_topic: str) -> AsyncIterator[tuple[Load, MqttBus]]:
    """Devices and executor as one MQTT client."""
    bus = MqttBus((address,), "bench-load", window=5_000)

    def send(device: str, value: float, metrics: int) -> bool:
        return bus.publish(f"bench/{device}/data", make_body(value, metrics))

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


@dataclass(frozen=True)
class Options:
    broker: str
    seconds: float
    metrics: int
    folder: Path


@dataclass
class Repeat:
    """One stretch at the steady rate; `foreign_cpu` is how many cores others kept busy meanwhile."""

    p50_ms: float
    p99_ms: float
    orders: int
    foreign_cpu: float


@dataclass
class Result:
    """One way of doing the job. Times are from a device's publish to the order at its executor, CPU is µs a reading.

    `quietest` is the repeat in which others used the least CPU; `missing` are orders that never came.
    """

    name: str
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    orders: int = 0
    missing: int = 0
    repeats: list[Repeat] = field(default_factory=list)
    quietest: Repeat | None = None
    steady_cpu_us: dict[str, float] = field(default_factory=dict)
    saturated_per_s: int = 0
    saturated_cpu_us: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)

    async def take_steady(self, load: Load, processes: Processes, seconds: float, metrics: int) -> None:
        load.under_way.clear()
        before, sent, all_delays = processes.cpu_s(), load.sent, []
        for _ in range(REPEATS):
            foreign = Foreign(processes)
            delays = await load.steady(seconds / REPEATS, metrics)
            all_delays += delays
            self.repeats.append(Repeat(*spread(delays), len(delays), foreign.cores()))
        self.steady_cpu_us = per_reading(before, processes.cpu_s(), load.sent - sent)
        self.p50_ms, self.p99_ms = spread(all_delays)
        self.quietest = min(self.repeats, key=lambda repeat: repeat.foreign_cpu)
        self.orders, self.missing = len(all_delays), len(load.under_way)
        self.memory_mb = processes.memory_mb()
        processes.check()

    async def take_saturated(self, load: Load, processes: Processes, seconds: float, done: Callable[[], int]) -> None:
        """`done` says how many readings have come to the end of the chain."""
        load.under_way.clear()
        before, sent, began = processes.cpu_s(), load.sent, time.perf_counter()
        await load.flood(seconds, WIDE, lambda: load.sent - done() < ROOM * WIDE)
        await until(lambda: done() >= load.sent, "readings are missing")
        readings = load.sent - sent
        self.saturated_per_s = round(readings / (time.perf_counter() - began))
        self.saturated_cpu_us = per_reading(before, processes.cpu_s(), readings)


def spread(delays_ms: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    if len(delays_ms) < 2:
        raise Failure("no orders came")
    cuts = statistics.quantiles(delays_ms, n=100, method="inclusive")
    return round(cuts[49], 2), round(cuts[98], 2)


class Foreign:
    """How many cores are kept busy by what is none of ours."""

    def __init__(self, processes: Processes) -> None:
        self._processes, self._began = processes, time.monotonic()
        self._busy_s, self._ours_s = busy_s(), self._ours()

    def _ours(self) -> float:
        return sum(self._processes.cpu_s().values()) + time.process_time()

    def cores(self) -> float:
        foreign_s = (busy_s() - self._busy_s) - (self._ours() - self._ours_s)
        return round(max(0.0, foreign_s / (time.monotonic() - self._began)), 2)


def busy_s() -> float:
    """CPU time of everything on this machine in seconds."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def scene(options: Options, *, broker: bool = True) -> AsyncIterator[tuple[Processes, Address]]:
    """A fresh folder, a fresh broker unless an address was given, and processes that end with it."""
    with tempfile.TemporaryDirectory(prefix="edgemesh-bench-", dir=options.folder) as folder:
        processes, server = Processes(Path(folder)), None
        prefer = EMBEDDED.get(options.broker)
        if broker and prefer:
            server = await start_broker(prefer, folder=processes.folder / "broker")
            if server.pid is not None:
                processes.pids["broker"] = server.pid
        try:
            yield (
                processes,
                server.address if server else parse_addresses("mqtt://127.0.0.1" if prefer else options.broker)[0],
            )
        finally:
            processes.stop()
            if server:
                await server.stop()


# -- the chain ---------------------------------------------------------------------------------------------------------


async def measure_chain(options: Options, *, split: bool) -> Result:
    """The chain as it runs in a plant, with a process per role or one for all."""
    result, topics = Result("edgemesh, a process per role" if split else "edgemesh, one process"), Topics("bench")
    async with scene(options) as (processes, address):
        config = processes.folder / "bench.toml"
        config.write_text(CONFIG.format(data=processes.folder / "data", broker=address))
        command = ("-c", "from edgemesh.cli import main; main()", "run", str(config), "--log-level=warning")
        for role in ROLES if split else ():
            processes.start(role, *command, f"--role={role}")
        if not split:
            processes.start("all roles", *command)
        async with mqtt_load(address, topics.dispatch(EXECUTOR)) as (load, bus):
            beating = asyncio.create_task(beat(bus, topics))
            try:
                await warm_up(load, processes, options)
                with History(processes.folder / "data" / "agents" / "recorder.db") as history:
                    recorded = Throttled(lambda: history.counts().readings)
                    load.sent = recorded()
                    # First, so that each log has reached its usual size and none grows while times are taken.
                    await result.take_saturated(load, processes, options.seconds / 3, recorded)
                    await result.take_steady(load, processes, options.seconds, options.metrics)
            finally:
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


async def warm_up(load: Load, processes: Processes, options: Options) -> None:
    """Send until orders come, then wait until nothing is on its way."""
    deadline = time.monotonic() + PATIENCE_S
    while not await load.steady(0.5, options.metrics):
        processes.check()
        if time.monotonic() > deadline:
            raise Failure("no order has come")
    await asyncio.sleep(0.5)


# -- the baselines -----------------------------------------------------------------------------------------------------


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
    result, length = Result("bare asyncio protocol"), struct.Struct(">I")
    async with scene(options, broker=False) as (processes, _):
        process = processes.start("script", str(BASELINES / "asyncio_protocol.py"))
        assert process.stdout is not None
        port = int(await asyncio.to_thread(process.stdout.readline))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        def send(device: str, value: float, metrics: int) -> bool:
            body = make_body(value, metrics, device)
            writer.write(length.pack(len(body)) + body)
            return True

        load = Load(send)

        async def listen() -> None:
            while True:
                (size,) = length.unpack(await reader.readexactly(length.size))
                load.heard(await reader.readexactly(size))

        listening = asyncio.create_task(listen())
        try:
            await measure_baseline(result, load, processes, options)
        finally:
            listening.cancel()
            writer.close()
    return result


async def measure_autogen(options: Options) -> Result:
    """An agent framework's distributed runtime: a host, a detector and a scheduler, each a process of its own."""
    sys.path.insert(0, str(BASELINES))
    rival = importlib.import_module("autogen_grpc")
    result = Result("AutoGen's gRPC runtime")
    async with scene(options, broker=False) as (processes, _):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        script = str(BASELINES / "autogen_grpc.py")
        processes.start("host", script, "host", address)
        await until(lambda: answers(address), "AutoGen's host does not answer")
        for role in ("detector", "scheduler"):
            processes.start(role, script, role, address)
        under_way: set[asyncio.Task[None]] = set()

        def send(device: str, value: float, metrics: int) -> bool:
            task = asyncio.create_task(runtime.say(device, [value, *(3.125 * k for k in range(1, metrics))]))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            return True

        load = Load(send)
        runtime = await rival.play_executor(
            address, lambda asset: load.heard(json.dumps({"orders": [{"asset": asset}]}).encode())
        )
        try:
            await warm_up(load, processes, options)
            await result.take_steady(load, processes, options.seconds / 2, options.metrics)
        finally:
            await runtime.stop()
    return result


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


async def measure_baseline(result: Result, load: Load, processes: Processes, options: Options) -> None:
    await warm_up(load, processes, options)

    def done() -> int:
        """Nothing counts what arrived here: the orders under way tell how much at most is not done."""
        return load.sent - FLOOD_BREAKS * WIDE * len(load.under_way)

    await result.take_saturated(load, processes, options.seconds / 6, done)
    await result.take_steady(load, processes, options.seconds / 2, options.metrics)


# -- what is said ------------------------------------------------------------------------------------------------------


def fsync_ms(folder: Path) -> float:
    """Median of writing 4 KB and having them on the disk."""
    taken = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(bytes(4096))
        for _ in range(100):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e3)
    return round(statistics.median(taken), 3)


async def measure(options: Options) -> list[Result]:
    measures: list[Callable[[Options], Coroutine[Any, Any, Result]]] = [
        functools.partial(measure_chain, split=True),
        functools.partial(measure_chain, split=False),
        measure_paho,
        measure_asyncio,
    ]
    if importlib.util.find_spec("autogen_ext"):
        measures.append(measure_autogen)
    return [await measure(options) for measure in measures]


def show(results: list[Result], disk_ms: float, options: Options) -> None:
    split, _, paho = results[:3]
    print(
        f"{RATE} readings/s in messages of {options.metrics}; {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, broker {options.broker}, fdatasync {disk_ms} ms"
    )
    print("\nFrom a device's publish to the order at its executor, ms; CPU in µs per reading, broker included\n")
    print(f"{'':<29}{'all orders':>16}{'quietest third':>18}{'':>9}{'CPU at':>9}{'saturated':>12}{'CPU':>7}")
    print(f"{'':<29}{'p50':>8}{'p99':>8}{'p50':>10}{'p99':>8}{'p50':>9}{f'{RATE}/s':>9}{'readings/s':>12}{'':>7}")
    for each in results:
        quiet = each.quietest or each.repeats[0]
        print(
            f"{each.name:<29}{each.p50_ms:>8.2f}{each.p99_ms:>8.2f}{quiet.p50_ms:>10.2f}{quiet.p99_ms:>8.2f}"
            f"{f'{quiet.p50_ms / (paho.quietest or quiet).p50_ms:.1f} x':>9}{sum(each.steady_cpu_us.values()):>9.0f}"
            f"{each.saturated_per_s:>12,}{sum(each.saturated_cpu_us.values()):>7.1f}"
        )
    print(f"\n{'role, in its own process':<29}{f'CPU at {RATE}/s':>16}{'CPU saturated':>18}{'memory MB':>13}")
    for role in split.steady_cpu_us:
        print(
            f"{role:<29}{split.steady_cpu_us[role]:>16.0f}{split.saturated_cpu_us[role]:>18.1f}"
            f"{split.memory_mb[role]:>13.1f}"
        )
    foreign = ", ".join(f"{repeat.foreign_cpu:.2f}" for each in results for repeat in each.repeats)
    print(
        f"\n{sum(each.orders for each in results)} orders measured; {sum(each.missing for each in results)} never came."
    )
    print(f"Cores that others kept busy in each repeat: {foreign}")
    print(NOTES)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Speed and latency of the whole chain beside the job without guarantees."
    )
    parser.add_argument(
        "--seconds", type=float, default=9.0, help="at the steady rate; baselines take half (default: 9)"
    )
    parser.add_argument(
        "--metrics", type=int, default=5, help="readings of one message at the steady rate (default: 5)"
    )
    parser.add_argument("--broker", default="embedded", help="embedded, mosquitto, amqtt or mqtt://HOST:PORT")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk to measure with")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    wanted = parser.parse_args()
    options = Options(wanted.broker, wanted.seconds, wanted.metrics, wanted.folder)
    disk_ms = fsync_ms(options.folder)
    try:
        results = asyncio.run(measure(options))
    except (Failure, EdgemeshError) as problem:
        print(f"chain: {problem}", file=sys.stderr)
        return 1
    if wanted.json:
        print(
            json.dumps({"fdatasync_ms": disk_ms, "metrics": options.metrics, "results": [asdict(r) for r in results]})
        )
    else:
        show(results, disk_ms, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
