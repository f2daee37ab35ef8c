"""Presence: who is alive, judged by rising beats and the receiver's own clock."""

from __future__ import annotations

import msgspec

from edgemesh.model.agents import Card, Presence

WILL_S = 1.5
"""How long somebody whose last will was said may take to come back."""
_OLD_INCARNATIONS = 8
SILENCE_KEPT_S = 10.0
MOST_SILENCE_S = 12.0
CLEARLY_BEATS = 0.5
"""Nobody is dead whose silence is not longer, by so much of a heartbeat, than that of our own cards lately."""


class _Known(msgspec.Struct):
    """What is known of one agent. `up` is None while nobody can tell; `said` is the card that was last reported."""

    card: Card
    heard_s: float
    up: bool | None = None
    said: Card | None = None
    old: tuple[str, ...] = ()


class PresenceTracker:
    """Turns cards and the passing of time into the cards that changed something.

    A retained card alone is no sign of life; a card published now, or a beat that rises, is. An agent is dead when its
    beat has not risen for `dead_after_beats` of its own heartbeats. A last will only speeds that up, to WILL_S: a
    broker that is stopped says everybody's will, and what is killed is mostly started again at once. While an
    incarnation is alive, cards of those before it are ignored, and so is any last will but its own. Times are seconds
    of one monotonic clock.

    Where we hear our own cards (`me`), we know how late the bus and we ourselves are: a slow machine or an overloaded
    broker makes everybody late, and whoever is silent for no longer than our own cards were is not dead. After the
    idea of Dadgar, Phillips, Currey: "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (2018).

    At most `max_agents` are followed: for one more, the agent that has been down the longest is forgotten, and if none
    is down the new one is ignored.
    """

    def __init__(self, dead_after_beats: float = 2.5, max_agents: int = 20_000, *, me: str = "") -> None:
        self._dead_after_beats, self._max_agents, self._me = dead_after_beats, max_agents, me
        self._known: dict[str, _Known] = {}
        self._silent_s = self._silent_at_s = 0.0  # for how long our own cards did not come, and until when

    def see(self, card: Card, *, retained: bool, now_s: float) -> list[Card]:
        """Take in a card as it came from the bus; return it if presence, incarnation or content changed."""
        known = self._known.get(card.agent)
        if known is None:
            if not self._room():
                return []
            self._known[card.agent] = known = _Known(card, now_s)
            return [] if retained and card.state is Presence.UP else self._report(known, card)
        if card.incarnation == known.card.incarnation:
            return self._hear(known, card, retained=retained, now_s=now_s)
        if known.up and (card.incarnation in known.old or card.state is Presence.DOWN):
            return []
        if card.state is Presence.DOWN:
            return self._report(known, card)
        others = [incarnation for incarnation in known.old if incarnation != card.incarnation]
        known.old = (*others[1 - _OLD_INCARNATIONS :], known.card.incarnation)
        known.card, known.heard_s, known.up = card, now_s, None
        return [] if retained else self._report(known, card)

    def sweep(self, now_s: float) -> list[Card]:
        """Return the cards, with state `down`, of the agents that are found dead now."""
        found = []
        self._judge_ourselves(now_s)
        for known in self._known.values():
            beat_s = known.card.heartbeat_s
            ours_s = min(self._silent_s, MOST_SILENCE_S) + CLEARLY_BEATS * beat_s
            late = now_s - known.heard_s > max(self._dead_after_beats * beat_s, ours_s)
            if known.up is not False and late:
                found += self._report(known, msgspec.structs.replace(known.card, state=Presence.DOWN))
        return found

    def pardon(self, until_s: float) -> None:
        """Take nobody's silence before this instant for death: we were not listening, or they could not speak."""
        for known in self._known.values():
            known.heard_s = max(known.heard_s, until_s)

    def _judge_ourselves(self, now_s: float) -> None:
        """Note for how long our own newest card is not there; the longest silence counts for a while after it."""
        known = self._known.get(self._me)
        silent_s = now_s - known.heard_s if known is not None else 0.0
        if silent_s >= self._silent_s or now_s - self._silent_at_s > SILENCE_KEPT_S:
            self._silent_s, self._silent_at_s = silent_s, now_s

    def _hear(self, known: _Known, card: Card, *, retained: bool, now_s: float) -> list[Card]:
        """Take in another card of the same incarnation."""
        if card.state is Presence.DOWN:
            # A last will was written at the connect: its beat says nothing, the beats seen before still count.
            patience_s = self._dead_after_beats * known.card.heartbeat_s
            known.heard_s = min(known.heard_s, now_s + WILL_S - patience_s)
            return []
        rises = card.beat > known.card.beat and (known.up is True or not retained)
        if card.beat >= known.card.beat:
            known.card = card
            if rises:
                if card.agent == self._me:
                    self._judge_ourselves(now_s)
                known.heard_s = now_s
            if rises or known.up:
                return self._report(known, card)
        return []

    def _report(self, known: _Known, card: Card) -> list[Card]:
        known.up = card.state is Presence.UP
        said = known.said
        if said is not None and not known.up and (said.state, said.incarnation) == (card.state, card.incarnation):
            return []
        if _content(card) == _content(said):
            return []
        known.said = card
        return [card]

    def _room(self) -> bool:
        if len(self._known) < self._max_agents:
            return True
        down = [(known.heard_s, name) for name, known in self._known.items() if known.up is False]
        if down:
            del self._known[min(down)[1]]
        return bool(down)


def _content(card: Card | None) -> Card | None:
    """A card without what changes at every heartbeat."""
    return msgspec.structs.replace(card, beat=0, head=0, stats={}) if card is not None else None
