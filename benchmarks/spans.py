"""What tracing costs, in microseconds, beside the OpenTelemetry SDK where it is installed.

python benchmarks/spans.py [--json]

Two spans are what a reader records of a pack: receive (five attributes) and score, its child. Ours are noted on the way
and made when they are sent; the SDK makes them at once, and nothing is sent of them here. The rest is what the hot path
pays where nothing is recorded. CPU time of the process.
"""

from __future__ import annotations

import json
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any

import msgspec

from edgemesh.agents.clock import SystemClock
from edgemesh.agents.items import Heard
from edgemesh.agents.tracer import Tracer
from edgemesh.model.agents import Role
from edgemesh.model.samples import Batch
from edgemesh.testing import make_batch, make_readings
from edgemesh.tracing.context import TraceContext, format_traceparent
from edgemesh.tracing.ids import trace_of_row
from edgemesh.wire import codec

OURS, LATER = "two spans", "two spans, made and sent later"
SDK = "two spans of the OpenTelemetry SDK"
ROUNDS, NUMBER = 25, 2_000
Act = Callable[[], object]


def measure(acts: dict[str, Act]) -> dict[str, float]:
    """The least CPU time of each in 25 rounds, all of them in turn, so that neighbours disturb all alike."""
    least = dict.fromkeys(acts, float("inf"))
    for _ in range(ROUNDS):
        for name, act in acts.items():
            least[name] = min(least[name], timeit.timeit(act, timer=time.process_time, number=NUMBER) / NUMBER * 1e6)
    return least


def ours() -> dict[str, Act]:
    """What our tracer does."""
    clock = SystemClock()
    tracer = Tracer("detector-1", Role.DETECTOR, clock, share=0.05)
    silent = Tracer("gateway-1", Role.GATEWAY, clock, share=0.0)
    pack = make_readings([1.0])
    trace_id = trace_of_row(pack.agent, pack.epoch, pack.seq)
    sampled = msgspec.structs.replace(pack, trace=format_traceparent(TraceContext(trace_id, "1" * 16)))
    item = Heard("readings", pack.agent, "topic", b"", lambda: None, at_ns=clock.now_ns())
    records: list[Batch] = [make_batch([1.0])]

    def not_recorded() -> None:
        began_ns = tracer.now_ns()
        tracer.handled(item, pack, began_ns, ())

    def recorded() -> None:
        began_ns = tracer.now_ns()
        tracer.add(tracer.handled(item, sampled, began_ns, ()))
        tracer._waiting.clear()  # noqa: SLF001  as if sent: what that costs is measured beside it

    stage = tracer.handled(item, sampled, tracer.now_ns(), ())

    def sent() -> None:
        tracer.add(stage)
        message = tracer.take()
        assert message is not None
        codec.encode(message)

    return {
        "pack taken in, not recorded": not_recorded,
        "row of readings, not recorded": lambda: silent.traceparent(records, "e0", 7),
        OURS: recorded,
        LATER: sent,
    }


def theirs() -> dict[str, Act]:
    """The same with the OpenTelemetry SDK; empty where it is not installed."""
    try:
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
        from opentelemetry.trace import SpanKind, set_span_in_context
    except ModuleNotFoundError:
        return {}

    class Ignored(SpanProcessor):  # type: ignore[misc]
        """Takes spans over and does nothing with them, so that only the recording is measured."""

    attributes: dict[str, Any] = {f"messaging.attribute.{k}": "log/readings/gateway-1" for k in range(5)}

    def two(sampler: Any) -> Act:
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(Ignored())
        tracer = provider.get_tracer("benchmark")

        def act() -> None:
            receive = tracer.start_span("receive readings", kind=SpanKind.CONSUMER, attributes=attributes)
            score = tracer.start_span("score", context=set_span_in_context(receive))
            receive.end()
            score.end()

        return act

    return {SDK: two(ALWAYS_ON), f"{SDK}, not recorded": two(ALWAYS_OFF)}


def main() -> None:
    """Print the figures."""
    figures = measure(ours() | theirs())
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures))
        return
    for name, each in figures.items():
        print(f"{name:<52}{each:8.2f} us")
    if SDK in figures:
        way, whole = figures[SDK] / figures[OURS], figures[SDK] / (figures[OURS] + figures[LATER])
        print(f"the SDK takes {way:.1f} times as long on the way, {whole:.1f} in all")


if __name__ == "__main__":
    main()
