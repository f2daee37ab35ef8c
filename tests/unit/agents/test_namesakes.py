"""Two agents of one name are noticed; restarts, strays and retained cards are not taken for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgemesh.agents.namesakes import Namesakes
from edgemesh.model.agents import Card, Presence, Role


def card(incarnation: str, beat: int, *, state: Presence = Presence.UP, agent: str = "gateway-1") -> Card:
    return Card(agent=agent, role=Role.GATEWAY, state=state, incarnation=incarnation, beat=beat, heartbeat_s=1.0)


def hear(cards: list[Card], *, retained: bool = False) -> list[bool]:
    namesakes = Namesakes()
    return [namesakes.hear(each, retained=retained) for each in cards]


def test_two_that_beat_by_turns_are_found_once() -> None:
    """Each goes on with its own beats after the other was heard: said at the second return, and only then."""
    turns = [card("a", 1), card("b", 1), card("a", 2), card("b", 2), card("a", 3), card("b", 3)]
    assert hear(turns) == [False, False, False, True, False, False]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_restarts_are_no_namesakes(lives: list[int]) -> None:
    """One process after the other, however many and short, is one agent."""
    cards = [card(f"i{life}", beat) for life, beats in enumerate(lives) for beat in range(1, beats + 1)]
    assert not any(hear(cards))


def test_a_card_that_was_long_on_its_way_is_no_namesake() -> None:
    """One stray of the process before proves nothing, nor does the same card again."""
    assert not any(hear([card("a", 1), card("b", 1), card("a", 2), card("b", 1)]))
    assert not any(hear([card("a", 2), card("b", 1), card("a", 2), card("b", 1), card("a", 2), card("b", 1)]))


def test_what_the_broker_kept_and_wills_prove_nothing() -> None:
    """Retained cards may be old, and a Last Will is the broker's word."""
    turns = [card("a", 1), card("b", 1), card("a", 2), card("b", 2), card("a", 3)]
    assert not any(hear(turns, retained=True))
    assert not any(hear([card(each.incarnation, each.beat, state=Presence.DOWN) for each in turns]))


def test_names_are_kept_apart() -> None:
    """The turns of one name say nothing about another."""
    assert not any(hear([card("a", 1), card("b", 1, agent="x"), card("a", 2), card("b", 2, agent="x"), card("a", 3)]))
