# mypy: disable-error-code="misc,untyped-decorator"
"""The threshold job on AutoGen's distributed runtime: `python autogen_grpc.py host|detector|scheduler HOST:PORT`.

Device -> host -> detector -> host -> scheduler -> host -> executor, each hop a gRPC message with a JSON payload. An
agent framework with the same division of work as edgemesh, and nothing on any disk. Needs `autogen-core` and
`autogen-ext[grpc]`, which edgemesh itself does not.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass

from autogen_core import DefaultTopicId, MessageContext, RoutedAgent, TypeSubscription, message_handler
from autogen_core import try_get_known_serializers_for_type as serializers
from autogen_ext.runtimes.grpc import GrpcWorkerAgentRuntime, GrpcWorkerAgentRuntimeHost

LIMIT, CLEAR = 100.0, 90.0


@dataclass
class Sample:
    """What a device says: `values` are its metrics, the first of them the one with a limit."""

    device: str
    values: list[float]


@dataclass
class Alert:
    """A device is beyond its limit."""

    device: str
    cause: str


@dataclass
class Order:
    """What the executor is to do."""

    asset: str
    title: str
    cause: str


class Detector(RoutedAgent):
    """Says an alert when a device crosses its limit."""

    def __init__(self) -> None:
        super().__init__("detector")
        self.firing: set[str] = set()

    @message_handler
    async def take(self, message: Sample, ctx: MessageContext) -> None:
        """Compare with the limit."""
        value = message.values[0]
        if value > LIMIT and message.device not in self.firing:
            self.firing.add(message.device)
            alert = Alert(message.device, f"value {value} > {LIMIT}")
            await self.publish_message(alert, DefaultTopicId("alerts"))
        elif value < CLEAR:
            self.firing.discard(message.device)


class Scheduler(RoutedAgent):
    """Turns an alert into an order."""

    def __init__(self) -> None:
        super().__init__("scheduler")

    @message_handler
    async def take(self, message: Alert, ctx: MessageContext) -> None:
        """Give the order."""
        await self.publish_message(Order(message.device, "Look after it", message.cause), DefaultTopicId("orders"))


async def connect(address: str) -> GrpcWorkerAgentRuntime:
    """A worker that knows the messages."""
    runtime = GrpcWorkerAgentRuntime(host_address=address)
    for kind in (Sample, Alert, Order):
        runtime.add_message_serializer(serializers(kind))
    await runtime.start()
    return runtime


class Executor(RoutedAgent):
    """Hears orders."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__("executor")
        self.heard = heard

    @message_handler
    async def take(self, message: Order, ctx: MessageContext) -> None:
        """Say which asset it is for."""
        self.heard(message.asset)


@dataclass
class Hall:
    """Devices and executor as one worker."""

    runtime: GrpcWorkerAgentRuntime

    async def say(self, device: str, values: list[float]) -> None:
        """One message of a device."""
        await self.runtime.publish_message(Sample(device, values), DefaultTopicId("samples"))

    async def stop(self) -> None:
        """Leave."""
        await self.runtime.stop()


async def play_executor(address: str, heard: Callable[[str], None]) -> Hall:
    """Connect and hear of every order."""
    runtime = await connect(address)
    await Executor.register(runtime, "executor", lambda: Executor(heard))
    await runtime.add_subscription(TypeSubscription("orders", "executor"))
    return Hall(runtime)


async def main(role: str, address: str) -> None:
    """Play one role until the process is ended."""
    if role == "host":
        host = GrpcWorkerAgentRuntimeHost(address=address)
        host.start()
        await host.stop_when_signal()
        return
    runtime = await connect(address)
    if role == "detector":
        await Detector.register(runtime, "detector", Detector)
        await runtime.add_subscription(TypeSubscription("samples", "detector"))
    else:
        await Scheduler.register(runtime, "scheduler", Scheduler)
        await runtime.add_subscription(TypeSubscription("alerts", "scheduler"))
    await runtime.stop_when_signal()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
