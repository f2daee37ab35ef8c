"""Findings: what was found when work was done, kept by asset for those who watch it."""

from __future__ import annotations

from edgemesh.dispatch.ledger import Entry
from edgemesh.model.alerts import Alert
from edgemesh.model.samples import Retimed
from edgemesh.model.verdicts import OrderVerdict, Verdicts

_MODEL = "model"
"""The rule that evidence of a model names."""


def is_learnt(alert: Alert) -> bool:
    """Whether a model had a part in the alert."""
    return any(evidence.rule == _MODEL for evidence in alert.evidence)


class Findings:
    """The newest verdicts of each asset. `dirty` names the assets that changed since they were last saved."""

    def __init__(self) -> None:
        self.lists: dict[str, Verdicts] = {}
        self.dirty: set[str] = set()

    def note(self, entry: Entry) -> None:
        """An order is done: take down its verdict, if there is one."""
        order = entry.order
        if order.verdict is None:
            return
        found = OrderVerdict(
            order=order.id, alert=order.alert, verdict=order.verdict, at_ns=order.at_ns, learnt=entry.learnt
        )
        self.lists[order.asset] = (self.lists.get(order.asset) or Verdicts(asset=order.asset)).merged([found])
        self.dirty.add(order.asset)

    def put_right(self, known: Retimed) -> None:
        """The clock was set: what was found by the one before gets its true time."""
        for asset, verdicts in self.lists.items():
            self.lists[asset] = verdicts.put_right(known)
            self.dirty.add(asset)

    def restore(self, verdicts: Verdicts) -> None:
        """Put the list of an asset as it was saved."""
        self.lists[verdicts.asset] = verdicts
