"""Agents that run twice: two processes of one name, each with its own log, pushing each other off the bus."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgemesh.model.agents import Card, Presence

RETURNS = 2
"""So often must an incarnation go on after another was heard: once may be a card that was long on its way."""
_INCARNATIONS = 8
_MAX_AGENTS = 20_000


@dataclass(slots=True)
class _Heard:
    """Of one name: the incarnation heard last, the highest beat of each, and how often one of before went on."""

    incarnation: str
    beats: dict[str, int] = field(default_factory=dict)
    returns: int = 0


class Namesakes:
    """Finds names under which two incarnations go on beating by turns. One that is started anew never returns.

    `found` are the names, for as long as this lives.
    """

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._heard: dict[str, _Heard] = {}

    def hear(self, card: Card, *, retained: bool) -> bool:
        """Take in a card as it came from the bus; True when it is the one that gives the two away."""
        if retained or card.state is not Presence.UP or card.agent in self.found:
            return False
        heard = self._heard.get(card.agent)
        if heard is None:
            heard = self._heard[card.agent] = _Heard(card.incarnation)
            if len(self._heard) > _MAX_AGENTS:
                del self._heard[next(iter(self._heard))]
        if card.incarnation != heard.incarnation:
            heard.returns += card.beat > heard.beats.get(card.incarnation, card.beat)
            heard.incarnation = card.incarnation
        heard.beats.pop(card.incarnation, None)
        heard.beats[card.incarnation] = card.beat
        if len(heard.beats) > _INCARNATIONS:
            del heard.beats[next(iter(heard.beats))]
        if heard.returns < RETURNS:
            return False
        del self._heard[card.agent]
        self.found.add(card.agent)
        return True
