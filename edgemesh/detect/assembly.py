"""Assembling: the rows that a model is shown, out of the columns of a pack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgemesh.detect.base.columns import Columns
from edgemesh.detect.base.signals import split_source
from edgemesh.detect.base.windows import Window
from edgemesh.detect.rulebook import Rulebook
from edgemesh.detect.rules.gates import GateTrack
from edgemesh.detect.watch_state import WatchState

if TYPE_CHECKING:
    from edgemesh.detect.learning.learner import Learner


class Assembly:
    """Shows a learner what its gate lets through and what is believed, and counts the channels that came too late."""

    def __init__(self, rulebook: Rulebook, stats: dict[str, float]) -> None:
        self._rulebook, self._stats = rulebook, stats
        self._layouts: set[tuple[str, tuple[str, ...]]] = set()
        self._ignored: set[tuple[str, str]] = set()

    def rows(
        self, learner: Learner, state: WatchState, columns: Sequence[Columns], tracks: Mapping[str, GateTrack]
    ) -> tuple[list[int], list[list[float | None]]]:
        """The rows that the learner's gate lets through, and their times."""
        window, settings = state.window, learner.settings
        window.open = not learner.closed
        window.admit(columns, self._rulebook.learns)
        if not window.open:
            self._count_ignored(window, columns)
        instants, rows = window.assemble(columns)
        for place in _stuck_places(state):
            for row in rows:
                row[place] = None
        track = tracks.get(settings.gate)
        if track is not None:
            gate_ns = int(settings.gate_for * 10**9)
            kept = [i for i, at in enumerate(instants) if track.is_open(at, gate_ns)]
            instants, rows = [instants[i] for i in kept], [rows[i] for i in kept]
        return instants, rows

    def _count_ignored(self, window: Window, columns: Sequence[Columns]) -> None:
        """Count, once each, channels that have come after the warm-up: the model goes on without them."""
        for part in columns:
            layout = (part.device, part.metrics)
            if layout not in self._layouts:
                self._layouts.add(layout)
                known = {(device, metric) for device, metric, _ in window.channels}
                news = {(part.device, metric) for metric in part.metrics if self._rulebook.learns(metric)} - known
                self._stats["channels_ignored"] += len(news - self._ignored)
                self._ignored |= news


def _stuck_places(state: WatchState) -> list[int]:
    """Which entries of a row stand still now and are not to be believed."""
    stuck = {split_source(source)[:0:-1] for source, each in state.stuck.items() if each.stuck}
    return [k for k, (device, metric, _) in enumerate(state.window.channels) if (device, metric) in stuck]
