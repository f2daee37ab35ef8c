"""The recorder's core: it decides nothing; its sinks keep what it follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgemesh.agents.core import Input
from edgemesh.model.samples import Record


class RecorderCore:
    """Follows every log and writes none of its own."""

    def handle(self, pack: Input) -> Sequence[Record]:
        """Nothing to add: the engine hands the pack to the sinks."""
        return ()

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Time brings nothing."""
        return ()

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        """No retained topics."""
        return {}

    def save(self) -> Mapping[str, bytes | None]:
        """No state beside the sinks' own."""
        return {}

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Nothing to go on from."""
