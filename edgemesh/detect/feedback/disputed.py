"""Disputed rows: those of alerts on which a person may have the last word. What was no fault is learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BEFORE_ROWS = 64
AFTER_ROWS = 64
MOST = 4
"""Alerts whose rows are kept until somebody says what they were, and as many that were false."""


class Dispute(msgspec.Struct):
    """The rows around the beginning of an alert: up to 64 before it and 64 of those while it stood, raw float64.

    `calm`: somebody has said that it was no fault.
    """

    alert: str
    onset_ns: int
    rows: int
    content: bytes
    calm: bool = False


class Disputed:
    """The last few alerts of the model with their rows; the oldest of each sort goes when there are too many."""

    def __init__(self, width: int) -> None:
        """`width`: entries of a row."""
        self.width = width
        self._kept: dict[str, Dispute] = {}
        self._dirty: set[str] = set()

    def begin(self, alert: str, onset_ns: int, before: Floats) -> None:
        """An alert has begun after these rows; one that is known goes on."""
        if alert in self._kept:
            return
        before = before[-BEFORE_ROWS:]
        self._kept[alert] = Dispute(alert, onset_ns, len(before), before.astype("<f8").tobytes())
        self._dirty.add(alert)
        self._trim(calm=False)

    def take(self, alert: str, rows: Sequence[Sequence[float | None]]) -> None:
        """Rows that came while it stood."""
        dispute = self._kept.get(alert)
        room = BEFORE_ROWS + AFTER_ROWS - dispute.rows if dispute is not None else 0
        if dispute is None or dispute.calm or room <= 0 or not rows:
            return
        table = np.array(rows[:room], dtype="<f8").reshape(min(room, len(rows)), -1)
        dispute.content += table.tobytes()
        dispute.rows += len(table)
        self._dirty.add(alert)

    def settle(self, alert: str, *, calm: bool) -> int:
        """Somebody has said what it was: no fault (`calm`): its rows are to be learnt from; or one. Return its onset.

        0: it is not known here.
        """
        dispute = self._kept.pop(alert, None)
        if dispute is None:
            return 0
        self._dirty.add(alert)
        if calm:
            dispute.calm = True
            self._kept[alert] = dispute
            self._trim(calm=True)
        return dispute.onset_ns

    @property
    def calm(self) -> list[Floats]:
        """The rows of alerts that were false, oldest first."""
        calm = sorted((each for each in self._kept.values() if each.calm), key=_place)
        return [np.frombuffer(each.content, dtype="<f8").reshape(-1, self.width) for each in calm]

    def parts(self) -> dict[str, bytes | None]:
        """The parts `dispute/ALERT` that changed since the last call; None: gone."""
        kept = self._kept
        parts = {
            f"dispute/{name}": msgspec.msgpack.encode(kept[name]) if name in kept else None for name in self._dirty
        }
        self._dirty.clear()
        return parts

    def save_anew(self) -> None:
        """All parts are due again."""
        self._dirty.update(self._kept)

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Go on from what was saved. ValueError: it can't be read, or is of another width."""
        found = [msgspec.msgpack.decode(parts[name], type=Dispute) for name in parts if name.startswith("dispute/")]
        if any(len(each.content) != 8 * self.width * each.rows for each in found):
            raise ValueError("rows of an alert are missing, or of another width")
        self._kept = {each.alert: each for each in found}

    def _trim(self, *, calm: bool) -> None:
        alike = sorted((dispute for dispute in self._kept.values() if dispute.calm is calm), key=_place)
        for dispute in alike[:-MOST]:
            del self._kept[dispute.alert]
            self._dirty.add(dispute.alert)


def _place(dispute: Dispute) -> tuple[int, str]:
    return dispute.onset_ns, dispute.alert
