"""The agents: who is there, who is gone, what their cards say."""

from __future__ import annotations

from dataclasses import dataclass

from edgemesh.agents.presence import PresenceTracker
from edgemesh.console.snapshot import AgentView
from edgemesh.console.story import Story
from edgemesh.console.views import plain
from edgemesh.errors import Rejected
from edgemesh.model.agents import Card, Presence
from edgemesh.wire.reasons import Reason

MAX_AGENTS = 1_000
MAX_STATS = 32
UNKNOWN = "unknown"


@dataclass(slots=True)
class _Agent:
    """The latest card. `presence` is unknown until a beat was heard or missed; not `listed`: its card was removed."""

    card: Card
    presence: str = UNKNOWN
    beat_s: float | None = None
    since_s: float | None = None
    listed: bool = True


class Crew:
    """All agents of the site as their cards, heartbeats and silences show them."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._tracker = PresenceTracker(max_agents=2 * MAX_AGENTS)
        self._agents: dict[str, _Agent] = {}

    def see(self, card: Card, *, retained: bool, now_s: float, now_ns: int) -> None:
        """Take a card in. Rejected when there are too many agents already."""
        agent = self._agents.get(card.agent) or self._admit(card)
        if not retained and card.state is Presence.UP:
            agent.beat_s = now_s
            if agent.since_s is None or card.incarnation != agent.card.incarnation:
                agent.since_s = now_s
        agent.card, agent.listed = card, True
        for changed in self._tracker.see(card, retained=retained, now_s=now_s):
            self._judge(changed, now_ns)

    def _admit(self, card: Card) -> _Agent:
        if len(self._agents) >= MAX_AGENTS:
            for name in [name for name, agent in self._agents.items() if not agent.listed]:
                del self._agents[name]
        if len(self._agents) >= MAX_AGENTS:
            raise Rejected(Reason.TOO_MANY, f"{MAX_AGENTS} agents are known already")
        agent = self._agents[card.agent] = _Agent(card)
        return agent

    def forget(self, name: str) -> None:
        """The agent's card was removed from the broker: it is listed no more."""
        if name in self._agents:
            self._agents[name].listed = False

    def sweep(self, now_s: float, now_ns: int) -> bool:
        """Take note of who has been silent for too long; True when that is news."""
        changed = [card for card in self._tracker.sweep(now_s) if card.agent in self._agents]
        for card in changed:
            self._judge(card, now_ns)
        return bool(changed)

    def _judge(self, card: Card, now_ns: int) -> None:
        agent = self._agents.get(card.agent)
        if agent is None or agent.presence == card.state.value:
            return
        first, agent.presence = agent.presence == UNKNOWN, card.state.value
        if card.state is Presence.DOWN:
            agent.since_s = None
        if not first:
            self._story.agent(card.agent, card.role.value, card.state, now_ns)

    def views(self, now_s: float) -> list[AgentView]:
        """All agents: those that are gone or in trouble first, then by role and name."""
        order = {Presence.DOWN.value: 0, UNKNOWN: 1, Presence.UP.value: 2}
        views = [_view(agent, now_s) for agent in self._agents.values() if agent.listed]
        return sorted(views, key=lambda view: (order[view.presence], not view.trouble, view.role, view.agent))


def _view(agent: _Agent, now_s: float) -> AgentView:
    card = agent.card
    since_s = agent.since_s if agent.presence == Presence.UP.value else None
    return AgentView(
        agent=card.agent,
        role=card.role.value,
        presence=agent.presence,
        age_s=None if agent.beat_s is None else round(max(0.0, now_s - agent.beat_s), 1),
        uptime_s=None if since_s is None else round(max(0.0, now_s - since_s), 1),
        load=card.load,
        max_load=card.max_load,
        version=plain(card.version, 64),
        skills=tuple(sorted(card.skills)[:12]),
        stats={plain(name, 48): value for name, value in sorted(card.stats.items())[:MAX_STATS]},
        trouble=plain(card.trouble or card.notice, 256),
    )
