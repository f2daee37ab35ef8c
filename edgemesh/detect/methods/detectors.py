"""The contract of detectors that others write, and finding them by the entry-point group `edgemesh.detectors`.

A detector is a module with two names, chosen by `method` in `[[detection.model]]`:

    class Settings(edgemesh.model.settings.Settings, frozen=True, kw_only=True): ...
    def create(channels: Sequence[Channel], settings: Settings) -> Detector: ...

`edgemesh.testing.check_detector` holds it to what is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from edgemesh import plugins
from edgemesh.detect.base.windows import Channel
from edgemesh.detect.methods.judgement import Judgement
from edgemesh.plugins import Plugin

GROUP = "edgemesh.detectors"
BUILT_IN = ("auto", "machine", "series")
"""Methods that need no plug-in."""


class Detector(Protocol):
    """Learns from the first rows of one asset, and judges those that come after them.

    What it says of a row rests on its settings and on the rows until then, and on nothing else: no later row, no clock,
    no chance without a seed, not how many rows come at once, not the order of the channels. It may not keep the rows'
    lists, and does not change them. It runs in the agent's step: 100 µs a row are much.
    """

    @property
    def learnt(self) -> bool:
        """Whether it judges; once it does, it always does.

        Until then it is given rows only while no rule finds anything wrong, and it is made anew when channels join.
        """
        ...

    def take(self, rows: Sequence[Sequence[float | None]]) -> Sequence[Judgement]:
        """Judge the next rows, one judgement each; of those that it learns from `NOT_YET`.

        Entries are finite, in the order of `channels`; None: unknown. A score is finite and not negative, 1 at the
        limit; a `flag` stands for as long as the alert is to stand, and names channels in `blame`, strongest first.
        """
        ...

    def snapshot(self) -> bytes:
        """All that it needs, with channels and settings, to go on from here. Of these bytes blocks of 4 KiB that have
        changed are written after each pack: what is kept stays best in its place.
        """
        ...

    def restore(self, snapshot: bytes) -> None:
        """Go on, freshly made, from a snapshot as if never stopped. ValueError: it does not fit; it is begun anew."""
        ...


class DetectorModule(Protocol):
    """What the entry point of a detector names."""

    Settings: type[Any]

    def create(self, channels: Sequence[Channel], settings: Any) -> Detector:
        """Build the detector of one asset. ImportError: something that it needs is not installed."""
        ...


def installed() -> tuple[Plugin, ...]:
    """All detectors that are installed here, by name; imports none of them."""
    return plugins.installed(GROUP)


def find_detector(name: str) -> tuple[DetectorModule, Plugin]:
    """Import the detector of that name, and only that one.

    PluginMissing when the import fails; ConfigError when none or several have the name, or the module is no detector.
    """
    module, plugin = plugins.find_plugin(GROUP, "detector", name, others=BUILT_IN)
    return cast("DetectorModule", module), plugin
