"""The driver: sample after sample at a steady rate, each of which can be told from its number alone."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from edgemesh.drivers.contract import Driver, Inlet
from edgemesh.drivers.count.ledger import Ledger, Span, next_sample, steady_ns
from edgemesh.drivers.count.settings import Settings
from edgemesh.model.samples import Sample, Source

METRICS = ("count", "level")
PACE_S = 0.005
TOO_CLOSE_NS = 1_000_000
GROUP = 200
"""Samples that are put at once at most."""


class Counter:
    """Sample s is number s // devices of device s % devices. Goes on after the last one of its ledger."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sources = [
            Source(f"{settings.prefix}-{k}", f"{settings.prefix}-{k}", METRICS, ("1", "1"))
            for k in range(settings.devices)
        ]
        self._latest_ns = 0

    async def run(self, inlet: Inlet) -> None:
        """Count until `samples` are put, the file `until` is there, or for ever; end with a calm sample per device.

        DriverError when the ledger can't be written.
        """
        settings, loop = self._settings, asyncio.get_running_loop()
        ledger = Ledger(settings.ledger)
        sample = next_sample(Path(settings.ledger)) if settings.ledger else 0
        began_s, began = loop.time(), sample
        try:
            while not self._over(sample):
                due = began + int((loop.time() - began_s) * settings.rate) + 1
                if settings.samples:
                    due = min(due, settings.samples)
                while sample < due:
                    count = min(GROUP, due - sample)
                    await inlet.room()
                    self._put(inlet, ledger, sample, count)
                    sample += count
                await asyncio.sleep(PACE_S)
            await inlet.room()
            self._put(inlet, ledger, sample, settings.devices, calm=True)
        finally:
            ledger.close()

    def _over(self, sample: int) -> bool:
        if self._settings.until and Path(self._settings.until).exists():
            return True
        return bool(self._settings.samples) and sample >= self._settings.samples

    def _put(self, inlet: Inlet, ledger: Ledger, first: int, count: int, *, calm: bool = False) -> None:
        ledger.write(Span(first, count, False, steady_ns()))
        samples = [self._sample(number, inlet.now_ns(), calm=calm) for number in range(first, first + count)]
        inlet.put(samples, partial(ledger.write, Span(first, count, True, steady_ns())))

    def _sample(self, number: int, now_ns: int, *, calm: bool) -> Sample:
        index, device = divmod(number, self._settings.devices)
        if 0 <= self._latest_ns - now_ns < TOO_CLOSE_NS:
            now_ns = self._latest_ns + 1  # no two samples of a device have one time
        self._latest_ns = now_ns
        level = 0.0 if calm else level_of(index, device, self._settings)
        return Sample(self._sources[device], self._latest_ns, (float(index), level))


def level_of(index: int, device: int, settings: Settings) -> float:
    """1.0 in the last `excursion` samples of each period of a device, else 0.0; devices take turns."""
    phase = (index + device * settings.period // settings.devices) % settings.period
    return 1.0 if phase >= settings.period - settings.excursion else 0.0


def create(settings: Settings) -> Driver:
    """Build the driver."""
    return Counter(settings)
