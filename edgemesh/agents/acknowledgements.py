"""Acknowledgements: somebody has seen an alert that stands."""

from __future__ import annotations

import msgspec

from edgemesh.agents.watches import Watches
from edgemesh.model.alerts import ALERT_MOVES, Alert, AlertState
from edgemesh.model.commands import Command


def acknowledge(watches: Watches, command: Command, now_ns: int) -> list[Alert]:
    """The next version of the alert that the command says was seen; none where it is not ours, over, or seen before."""
    asked = command.ack
    if asked is None:
        return []
    for watch in watches.all():
        for entry in watch.state.book.entries.values():
            alert = entry.alert
            if alert.id == asked.alert and AlertState.ACKNOWLEDGED in ALERT_MOVES[alert.state]:
                entry.alert = msgspec.structs.replace(
                    alert,
                    version=alert.version + 1,
                    state=AlertState.ACKNOWLEDGED,
                    by=asked.by,
                    at_ns=max(alert.at_ns, now_ns),
                )
                watches.touch(watch)
                return [entry.alert]
    return []
