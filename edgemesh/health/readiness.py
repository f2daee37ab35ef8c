"""Whether an agent does all that it should, and if not, why. Pure."""

from __future__ import annotations

from typing import Protocol

from edgemesh.model.agents import Card


class Sight(Protocol):
    """What can be seen of an agent from within its process."""

    def card(self) -> Card:
        """Its card as it would be published now."""
        ...

    @property
    def linked(self) -> bool:
        """Whether the broker has accepted its connection."""
        ...


def reasons(card: Card, *, linked: bool) -> list[str]:
    """Why the agent is not ready: no link, its trouble (a log that can't be written, too), logs that it can't read.

    What is only a notice harms nothing so far and is no reason.
    """
    found = [] if linked else ["not connected to the broker"]
    if card.trouble:
        found.append(card.trouble)
    if halted := int(card.stats.get("halted", 0.0)):
        found.append(f"can't read the log of {halted} agent{'s' if halted > 1 else ''}")
    return found
