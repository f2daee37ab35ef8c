"""Microseconds per pack for encoding and decoding, and per message for what else is on the hot path.

python benchmarks/wire.py [--json]
"""

from __future__ import annotations

import json
import math
import sys
import timeit
from collections.abc import Callable

from edgemesh.model.samples import Batch
from edgemesh.wire import codec, topics

METRICS = ("inlet_pressure", "outlet_pressure", "flow", "vibration", "temperature")
UNITS = ("bar", "bar", "m3/h", "mm/s", "Cel")
START_NS = 1_760_000_000_000_000_000
DEVICE_JSON = (
    b'{"device":"pump-07","ts":1760000000.123,"pressure":{"inlet":1.93,"outlet":4.21},"flow":31.7,'
    b'"vibration":2.31,"temperature":61.25,"status":"ok","seq":48211}'
)


def make_records(readings: int) -> tuple[Batch, ...]:
    """Batches of five metrics with at most 40 readings each, as a gateway of several devices commits them."""
    metrics = min(readings, len(METRICS))
    samples = readings // metrics
    records: list[Batch] = []
    while samples:
        n = min(samples, 8)
        records.append(
            Batch(
                device=f"pump-{len(records):02}",
                asset=f"pump-{len(records):02}",
                metrics=METRICS[:metrics],
                units=UNITS[:metrics],
                at_ns=tuple(START_NS + 100_000_000 * k for k in range(n)),
                values=tuple(tuple(round(m + math.sin(k), 4) for k in range(n)) for m in range(metrics)),
            )
        )
        samples -= n
    return tuple(records)


def microseconds(act: Callable[[], object]) -> float:
    """Best of seven rounds of about 50 ms each."""
    timer = timeit.Timer(act)
    number, _ = timer.autorange()
    number = max(1, number // 4)
    return min(timer.repeat(7, number)) / number * 1e6


def measure() -> dict[str, dict[str, float]]:
    """Figures by name of the case."""
    figures: dict[str, dict[str, float]] = {}
    for readings in (1, 100, 1000):
        records = make_records(readings)

        def encode(records: tuple[Batch, ...] = records) -> bytes:
            return codec.encode_pack(
                "readings", agent="gw1", epoch="9f3c2a71", seq=4711, lowest=4000, at_ns=START_NS,
                body=codec.encode_records(records),
            )  # fmt: skip

        payload = encode()
        longer = payload[:-1] + b',"from_a_newer_version":{"a":1}}'
        figures[f"pack of {readings} readings"] = {
            "bytes": len(payload),
            "encode_us": microseconds(encode),
            "decode_us": microseconds(lambda p=payload: codec.decode_pack(p, kind="readings", agent="gw1")),  # type: ignore[misc]
            "decode_slow_us": microseconds(lambda p=longer: codec.decode_pack(p, kind="readings", agent="gw1")),  # type: ignore[misc]
        }
    figures["device JSON"] = {
        "bytes": len(DEVICE_JSON),
        "decode_us": microseconds(lambda: codec.decode_json(DEVICE_JSON)),
    }
    topic = topics.Topics("hall").log("readings", "gw1")
    figures["topic"] = {"bytes": len(topic), "decode_us": microseconds(lambda: topics.parse(topic))}
    return figures


def main() -> None:
    """Print a table, or one JSON object with `--json`."""
    figures = measure()
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures))
        return
    print(f"{'':22}{'bytes':>8}{'encode µs':>12}{'decode µs':>12}{'slow way µs':>13}")
    for name, row in figures.items():
        cells = (row.get(key) for key in ("encode_us", "decode_us", "decode_slow_us"))
        shown = [f"{cell:.1f}" if cell is not None else "" for cell in cells]
        print(f"{name:22}{row['bytes']:>8.0f}{shown[0]:>12}{shown[1]:>12}{shown[2]:>13}")


if __name__ == "__main__":
    main()
