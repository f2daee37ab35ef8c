"""How far the rules of an asset are from their levels: the measure of an asset that no model watches."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Worst:
    """The greatest score that rules gave to values of some columns, and whose it was; 0: all lay within clear levels.

    High is strange: 0 at a rule's clear level, 1 at its level, one more for each such distance beyond. `marks` are sign
    and clear level of plain rules, by the id of the rule: one of these is for the rules of one rulebook.
    """

    score: float = 0.0
    device: str = ""
    metric: str = ""
    marks: dict[int, tuple[int, float]] = field(default_factory=dict)

    def begin(self) -> None:
        """Other columns come."""
        self.score, self.device, self.metric = 0.0, "", ""

    def note(self, score: float, device: str, metric: str) -> None:
        """A rule gave this score to a value."""
        if score > self.score:
            self.score, self.device, self.metric = score, device, metric
