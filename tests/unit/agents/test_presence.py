"""Presence: who is alive, by beats that rise and the receiver's clock."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.agents.presence import PresenceTracker
from edgemesh.model.agents import Card, Presence, Role

UP, DOWN = Presence.UP, Presence.DOWN


def card(beat: int, *, state: Presence = UP, incarnation: str = "i1", load: int = 0, agent: str = "ana") -> Card:
    return Card(
        agent=agent, role=Role.EXECUTOR, state=state, incarnation=incarnation, beat=beat, load=load, heartbeat_s=1.0
    )


class Ear:
    """A tracker; each verb says what it reported as (state, incarnation)."""

    def __init__(self) -> None:
        self.tracker = PresenceTracker()

    def see(self, one: Card, now_s: float, *, retained: bool = False) -> list[tuple[str, str]]:
        return [(c.state.value, c.incarnation) for c in self.tracker.see(one, retained=retained, now_s=now_s)]

    def sweep(self, now_s: float) -> list[tuple[str, str]]:
        return [(c.state.value, c.incarnation) for c in self.tracker.sweep(now_s)]


def test_a_card_published_now_is_life() -> None:
    """The first card is reported, heartbeats after it are not."""
    ear = Ear()
    assert ear.see(card(5), 0.0) == [("up", "i1")]
    assert ear.see(card(6), 1.0) == []


def test_a_retained_card_is_no_life_until_its_beat_rises() -> None:
    """Read from the broker it says nothing; the next beat does; without one the agent is found dead."""
    ear = Ear()
    assert ear.see(card(5), 0.0, retained=True) == []
    assert ear.see(card(5), 0.5, retained=True) == []
    assert ear.see(card(6), 1.0) == [("up", "i1")]
    ear = Ear()
    assert ear.see(card(5), 0.0, retained=True) == ear.sweep(2.5) == []
    assert ear.sweep(2.6) == [("down", "i1")]
    assert ear.see(card(9), 3.0, retained=True) == []
    assert ear.see(card(10), 4.0) == [("up", "i1")]


def test_who_hears_itself_late_waits_for_others_as_long() -> None:
    """An overloaded broker makes everybody late: nobody is dead for that. Ten seconds later all is as before."""
    ear = Ear()
    ear.tracker = PresenceTracker(me="me")
    ear.see(card(1, agent="me"), 0.0)
    ear.see(card(1), 0.0)
    assert ear.sweep(3.0) == []
    assert ear.see(card(2, agent="me"), 3.5) == []
    assert ear.sweep(3.9) == []
    assert ear.sweep(4.1) == [("down", "i1")]
    for second in range(4, 16):
        ear.see(card(second, agent="me"), second)
        ear.sweep(second)
    assert ear.see(card(2), 16.0) == [("up", "i1")]
    for second in (16, 17, 18):
        ear.see(card(second, agent="me"), second)
    assert ear.sweep(18.5) == []
    assert ear.sweep(18.6) == [("down", "i1")]


def test_to_be_a_little_late_ourselves_changes_nothing() -> None:
    """Up to two heartbeats: the dead are found as fast as ever."""
    ear = Ear()
    ear.tracker = PresenceTracker(me="me")
    ear.see(card(1, agent="me"), 0.0)
    ear.see(card(1), 1.0)
    ear.see(card(2, agent="me"), 1.9)
    ear.see(card(3, agent="me"), 3.4)
    assert ear.sweep(3.5) == []
    assert ear.sweep(3.51) == [("down", "i1")]


def test_dead_after_two_and_a_half_beats() -> None:
    """Only a rising beat counts: the same one again keeps nobody alive."""
    ear = Ear()
    ear.see(card(1), 0.0)
    ear.see(card(1), 2.0)
    assert ear.sweep(2.5) == []
    assert ear.sweep(2.51) == [("down", "i1")]
    assert ear.sweep(9.0) == []
    assert ear.see(card(1), 9.5) == []
    assert ear.see(card(2), 10.0) == [("up", "i1")]


def test_a_heartbeat_of_its_own() -> None:
    """Who beats every ten seconds is given twenty-five."""
    ear = Ear()
    ear.see(msgspec.structs.replace(card(1), heartbeat_s=10.0), 0.0)
    assert ear.sweep(24.0) == []
    assert ear.sweep(26.0) == [("down", "i1")]


def test_a_last_will_speeds_death_up() -> None:
    """It is believed after 1.5 s, retained or not and whatever its beat; a beat that rises brings the agent back."""
    ear = Ear()
    ear.see(card(5), 0.0)
    assert ear.see(card(0, state=DOWN), 0.1, retained=True) == []
    assert ear.sweep(1.5) == []
    assert ear.sweep(1.7) == [("down", "i1")]
    assert ear.sweep(99.0) == []
    assert ear.see(card(5), 100.0) == []
    assert ear.see(card(6), 101.0) == [("up", "i1")]
    assert Ear().see(card(0, state=DOWN), 0.0, retained=True) == [("down", "i1")]


def test_who_comes_back_at_once_was_never_away() -> None:
    """A broker that is stopped says everybody's will: who beats again within 1.5 s is not reported."""
    ear = Ear()
    ear.see(card(5), 0.0)
    ear.see(card(0, state=DOWN), 0.1)
    assert ear.see(card(6), 1.0) == ear.sweep(2.0) == ear.sweep(3.4) == []
    assert ear.sweep(3.6) == [("down", "i1")]


def test_silence_while_nobody_could_be_heard_is_pardoned() -> None:
    """After a broker is back, its clients' time begins when they can have come back."""
    ear = Ear()
    ear.see(card(5), 0.0)
    ear.see(card(0, state=DOWN), 0.1)
    ear.tracker.pardon(12.0)
    assert ear.sweep(14.4) == []
    assert ear.sweep(14.6) == [("down", "i1")]


def test_a_new_incarnation_is_news() -> None:
    """Reported though the agent never seemed down, whatever its beat; retained it must beat first."""
    ear = Ear()
    ear.see(card(50), 0.0)
    assert ear.see(card(0, incarnation="i2"), 0.5) == [("up", "i2")]
    assert ear.see(card(7, incarnation="i3"), 1.0, retained=True) == []
    assert ear.see(card(8, incarnation="i3"), 2.0) == [("up", "i3")]


def test_stragglers_of_an_older_incarnation_are_ignored() -> None:
    """Neither a late card nor a late last will of before disturbs the living, even if its name is new to us."""
    ear = Ear()
    ear.see(card(50), 0.0)
    ear.see(card(1, incarnation="i2"), 0.5)
    assert ear.see(card(51), 0.6) == ear.see(card(0, state=DOWN), 0.7) == []
    assert ear.see(card(0, state=DOWN, incarnation="i0"), 0.8) == []
    assert ear.see(card(2, incarnation="i2"), 1.5) == []
    assert ear.sweep(2.0) == []


def test_a_straggler_does_not_lock_the_living_out() -> None:
    """When a card of before was taken for new, the true one is back as soon as that is found dead."""
    ear = Ear()
    ear.see(card(1, incarnation="i2"), 0.0)
    assert ear.see(card(50), 0.5) == [("up", "i1")]
    assert ear.see(card(3, incarnation="i2"), 2.0) == []
    assert ear.sweep(3.1) == [("down", "i1")]
    assert ear.see(card(4, incarnation="i2"), 3.2) == [("up", "i2")]


def test_changed_content_is_news() -> None:
    """Load and skills of the living are reported, counters are not; a stale card with a lower beat is ignored."""
    ear = Ear()
    ear.see(card(5), 0.0)
    assert ear.see(msgspec.structs.replace(card(6), stats={"packs": 3.0}, head=9), 1.0) == []
    assert ear.see(card(6, load=1), 1.1) == [("up", "i1")]
    assert ear.see(card(4, load=0), 1.2) == []


def test_there_is_an_end_to_names() -> None:
    """Beyond the limit who is down the longest is forgotten, and nobody new is followed while all are alive."""
    tracker = PresenceTracker(max_agents=2)
    for agent, now_s in (("a", 0.0), ("b", 1.0), ("c", 2.0)):
        tracker.see(card(1, agent=agent), retained=False, now_s=now_s)
    assert tracker.see(card(2, agent="c"), retained=False, now_s=2.0) == []
    assert [one.agent for one in tracker.sweep(3.0)] == ["a"]
    assert [one.agent for one in tracker.see(card(3, agent="c"), retained=False, now_s=3.0)] == ["c"]


STEPS = st.tuples(
    st.builds(
        card,
        st.integers(0, 4),
        state=st.sampled_from([UP, UP, DOWN]),
        incarnation=st.sampled_from(["i1", "i2", "i3"]),
        load=st.integers(0, 1),
        agent=st.sampled_from(["ana", "ben"]),
    ),
    st.booleans(),
    st.floats(0.0, 3.0),
)


@given(st.lists(STEPS, max_size=40))
def test_what_is_reported_is_always_a_change(steps: list[tuple[Card, bool, float]]) -> None:
    """No report repeats the one before it, and silence always ends in down."""
    tracker, now_s, said = PresenceTracker(), 0.0, dict[str, Card]()

    def take(cards: list[Card]) -> None:
        for one in cards:
            plain = msgspec.structs.replace(one, beat=0)
            assert said.get(one.agent) != plain
            said[one.agent] = plain

    for one, retained, pause_s in steps:
        now_s += pause_s
        take(tracker.sweep(now_s))
        take(tracker.see(one, retained=retained, now_s=now_s))
    take(tracker.sweep(now_s + 2.6))
    assert {one.state for one in said.values()} <= {DOWN}
    assert set(said) == {one.agent for one, _, _ in steps}
