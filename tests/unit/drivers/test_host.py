"""The driver `host` beyond its cases: load between two samples, values that come and go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemesh.drivers import host
from edgemesh.drivers.host.probes import CpuTimes
from edgemesh.model.settings import Seconds, decode_amount
from tests.contract.fake_inlet import FakeInlet, run_until


def test_load_between_samples(tmp_path: Path) -> None:
    """The processor's load is what it worked since the sample before; a value that goes away is missing, then back."""
    (tmp_path / "proc").mkdir()
    stat, load = tmp_path / "proc/stat", tmp_path / "proc/loadavg"
    stages = [
        ("cpu  100 0 0 100 0 0 0 0 0 0\n", "1.0 0 0\n"),
        ("cpu  130 0 0 150 20 0 0 0 0 0\n", None),
        ("garbage\n", "2.0 0 0\n"),
        ("cpu  180 0 0 200 20 0 0 0 0 0\n", "3.0 0 0\n"),
        ("cpu  100 0 0 100 0 0 0 0 0 0\n", "4.0 0 0\n"),
    ]

    class Stage(FakeInlet):
        def now_ns(self) -> int:
            number = len(self.samples) + 1
            if number < len(stages):
                set_stage(number)
            return super().now_ns()

    def set_stage(number: int) -> None:
        first, second = stages[number]
        stat.write_text(first)
        load.unlink(missing_ok=True)
        if second is not None:
            load.write_text(second)

    set_stage(0)
    inlet = Stage()
    driver = host.create(host.Settings(root=str(tmp_path), disk="/none", period=Seconds(0.1)))
    asyncio.run(run_until(driver, inlet, lambda: len(inlet.samples) >= 5))
    assert {sample.source.metrics for sample in inlet.samples} == {("cpu_percent", "load_1min")}
    assert len({id(sample.source) for sample in inlet.samples}) == 1
    assert [sample.values for sample in inlet.samples[:5]] == [
        (None, 1.0),
        (30.0, None),
        (None, 2.0),
        (50.0, 3.0),
        (None, 4.0),
    ]


def test_counters_that_jump() -> None:
    """Counters that go backwards never give a load outside 0 to 100."""
    assert CpuTimes(5, 100).percent_since(CpuTimes(10, 50)) == 0.0
    assert CpuTimes(90, 60).percent_since(CpuTimes(10, 50)) == 100.0
    assert CpuTimes(5, 50).percent_since(CpuTimes(5, 50)) is None


def test_this_machine() -> None:
    """On Linux the machine that runs the tests has load, memory and disk."""
    if not Path("/proc/loadavg").exists():
        pytest.skip("no Linux")
    inlet = FakeInlet()
    asyncio.run(run_until(host.create(host.Settings()), inlet, lambda: bool(inlet.samples)))
    values = dict(zip(inlet.samples[0].source.metrics, inlet.samples[0].values, strict=True))
    assert {"load_1min", "memory_percent", "disk_percent", "uptime"} <= set(values)
    for name in ("memory_percent", "disk_percent"):
        value = values[name]
        assert value is not None
        assert 0.0 <= value <= 100.0


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"period": "1ms"}, "`period` must be"),
        ({"period": 10}, "expected a duration with its unit"),
        ({"device": "a b"}, "`device` must be"),
        ({"asset": "{host}"}, "`asset` uses {host}"),
        ({"disk": "data"}, "absolute path"),
    ],
)
def test_refused_settings(table: dict[str, Any], problem: str) -> None:
    """Wrong settings are refused when they are loaded, in words."""
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(table, host.Settings, dec_hook=decode_amount)
