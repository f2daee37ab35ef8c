"""What the bus costs: round trips and messages per second at QoS 1, publisher and subscriber in one process.

    python -m benchmarks.bus [--messages 10000] [--bytes 200]

A round trip is publish -> broker -> handler, one message at a time. The rate is that of a full window, every message
settled; the CPU time is that of this process, both clients together.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from edgemesh.bus.contract import Bus, Message
from edgemesh.bus.embedded import Kind, start_broker
from edgemesh.bus.memory import MemoryBroker
from edgemesh.bus.mosquitto import find_mosquitto
from edgemesh.bus.mqtt import MqttBus
from edgemesh.bus.search import Protocol


class Figures(NamedTuple):
    p50_ms: float
    p99_ms: float
    per_s: float
    cpu_us: float


class Sink:
    """Settles and counts; tells when the wanted number has come."""

    def __init__(self) -> None:
        self.count = self.wanted = 0
        self.reached = asyncio.Event()

    def __call__(self, message: Message) -> None:
        message.settle()
        self.count += 1
        if self.count >= self.wanted:
            self.reached.set()

    def want(self, number: int) -> Awaitable[bool]:
        self.count, self.wanted = 0, number
        self.reached.clear()
        return self.reached.wait()


async def measure(publisher: Bus, subscriber: Bus, messages: int, payload: bytes) -> Figures:
    sink = Sink()
    subscriber.subscribe("bench", sink)
    for bus in (publisher, subscriber):
        await bus.open()
    while not (publisher.linked and subscriber.linked):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    trips = [await round_trip(publisher, sink, payload) for _ in range(2000)]
    started, cpu = time.perf_counter(), time.process_time()
    all_came = sink.want(messages)
    for _ in range(messages):
        while not publisher.publish("bench", payload):
            await asyncio.sleep(0.001)
    await all_came
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    for bus in (publisher, subscriber):
        await bus.close()
    cuts = statistics.quantiles(trips, n=100)
    return Figures(cuts[49] * 1e3, cuts[98] * 1e3, messages / elapsed, cpu / messages * 1e6)


async def round_trip(publisher: Bus, sink: Sink, payload: bytes) -> float:
    came = sink.want(1)
    started = time.perf_counter()
    publisher.publish("bench", payload)
    await came
    return time.perf_counter() - started


async def over_memory(messages: int, payload: bytes) -> Figures:
    broker = MemoryBroker()
    return await measure(broker.client("a"), broker.client("b"), messages, payload)


def over_broker(kind: Kind, protocol: Protocol) -> Callable[[int, bytes], Awaitable[Figures]]:
    async def run(messages: int, payload: bytes) -> Figures:
        with tempfile.TemporaryDirectory() as folder:
            broker = await start_broker(kind, folder=Path(folder))
            try:
                clients = [MqttBus([broker.address], each, protocol=protocol) for each in "ab"]
                return await measure(clients[0], clients[1], messages, payload)
            finally:
                await broker.stop()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the bus.")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=200)
    wanted = parser.parse_args()
    rows: dict[str, Callable[[int, bytes], Awaitable[Figures]]] = {"memory": over_memory}
    if find_mosquitto():
        rows["Mosquitto, MQTT 5"] = over_broker("mosquitto", "5")
        rows["Mosquitto, MQTT 3.1.1"] = over_broker("mosquitto", "3.1.1")
    rows["amqtt, MQTT 3.1.1"] = over_broker("amqtt", "auto")
    print(f"{'broker':24}{'p50 ms':>9}{'p99 ms':>9}{'messages/s':>12}{'CPU µs each':>13}")
    for name, run in rows.items():
        figures = asyncio.run(_awaited(run(wanted.messages, b"." * wanted.bytes)))
        print(f"{name:24}{figures.p50_ms:9.3f}{figures.p99_ms:9.3f}{figures.per_s:12,.0f}{figures.cpu_us:13.1f}")


async def _awaited(figures: Awaitable[Figures]) -> Figures:
    return await figures


if __name__ == "__main__":
    main()
