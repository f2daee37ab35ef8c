"""The driver: rows of recordings become samples, at the pace of the recording or as fast as the gateway takes them."""

from __future__ import annotations

import asyncio

from edgemesh.drivers.contract import Driver, Inlet
from edgemesh.drivers.replay.recording import Recording, find_recordings, open_recording
from edgemesh.drivers.replay.settings import Settings
from edgemesh.model.samples import Sample
from edgemesh.wire.reasons import Reason


class Replay:
    """Plays one recording after the other, then ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def run(self, inlet: Inlet) -> None:
        """Play everything once. InputError before the first row when one of the files can't be used."""
        recordings = [open_recording(path, self.settings) for path in find_recordings(self.settings.path)]
        for recording in recordings:
            if self.settings.speed == "max":
                await self._pour(recording, inlet)
            else:
                await self._play(recording, inlet, self.settings.speed)
            counts = recording.counts
            if counts.duplicates or counts.backwards:
                problem = f"{counts.duplicates} repeated and {counts.backwards} backward times, kept as they are"
                inlet.reject(Reason.BAD_TIME, str(recording.path), b"", problem)

    async def _pour(self, recording: Recording, inlet: Inlet) -> None:
        block: list[Sample] = []
        for at_ns, values, _ in recording.rows(inlet.reject):
            block.append(Sample(recording.source, at_ns, values, own_time=True))
            if len(block) == self.settings.rows_per_batch:
                await _put(inlet, block)
                block = []
        await _put(inlet, block)

    async def _play(self, recording: Recording, inlet: Inlet, speed: float) -> None:
        """Put each row when it is due; rows that are due together go together.

        A row waits for its distance from the row before it, at most `longest_wait`, so that a gap or one absurd time
        delays the rest but does not stop it.
        """
        clock = asyncio.get_running_loop().time
        due, previous_ns = clock(), None
        block: list[Sample] = []
        for at_ns, values, _ in recording.rows(inlet.reject):
            if previous_ns is not None and at_ns > previous_ns:
                due += min((at_ns - previous_ns) / 1e9 / speed, self.settings.longest_wait)
            previous_ns = at_ns
            if due > clock() or len(block) == self.settings.rows_per_batch:
                await _put(inlet, block)
                block = []
                await asyncio.sleep(due - clock())
            block.append(Sample(recording.source, at_ns, values, own_time=True))
        await _put(inlet, block)


async def _put(inlet: Inlet, block: list[Sample]) -> None:
    if block:
        await inlet.room(follow=True)
        inlet.put(block)
    await asyncio.sleep(0)


def create(settings: Settings) -> Driver:
    """Build the driver."""
    return Replay(settings)
