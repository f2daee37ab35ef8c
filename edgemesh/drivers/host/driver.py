"""The driver: one sample of the machine per period."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgemesh.drivers.contract import Driver, Inlet
from edgemesh.drivers.host.probes import PROBES, CpuTimes, Place, Probe, read_cpu, read_name, read_value
from edgemesh.drivers.host.settings import Settings
from edgemesh.drivers.names import id_from
from edgemesh.drivers.templates import fill
from edgemesh.errors import DriverError
from edgemesh.model.samples import Sample, Source

CPU = Probe("cpu_percent", "%", lambda place: float(read_cpu(place).total))


class Host:
    """Reads the machine it runs on. Which metrics it has is settled when it starts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        root = Path(settings.root)
        self._place = Place(root, root / settings.disk.lstrip("/"))

    async def run(self, inlet: Inlet) -> None:
        """Put one sample at once and one per period; DriverError when there is nothing to read at all."""
        probes = [probe for probe in (CPU, *PROBES) if read_value(probe, self._place) is not None]
        if not probes:
            raise DriverError(f"nothing about a Linux host can be read below {self._settings.root}")
        source = self._source(probes)
        clock = asyncio.get_running_loop().time
        due, before = clock(), None
        while True:
            now = self._cpu() if probes[0] is CPU else None
            busy = now.percent_since(before) if now and before else None
            values = tuple(busy if probe is CPU else read_value(probe, self._place) for probe in probes)
            if any(value is not None for value in values):
                inlet.put((Sample(source, inlet.now_ns(), values),))
            before = now or before
            due = max(due + self._settings.period, clock())
            await asyncio.sleep(due - clock())

    def _cpu(self) -> CpuTimes | None:
        try:
            return read_cpu(self._place)
        except (OSError, ValueError, LookupError):
            return None

    def _source(self, probes: list[Probe]) -> Source:
        device = self._settings.device or id_from(read_name(self._place)).strip("_") or "host"
        asset = id_from(fill(self._settings.asset, {"device": device}))
        return Source(device, asset, tuple(p.metric for p in probes), tuple(p.unit for p in probes))


def create(settings: Settings) -> Driver:
    """Build the driver."""
    return Host(settings)
