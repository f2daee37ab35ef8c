"""Moves of a work order: only those there are, each a new version."""

from __future__ import annotations

import msgspec
import pytest

from edgemesh.dispatch import moves
from edgemesh.dispatch.triage import triage
from edgemesh.model.agents import Asset
from edgemesh.model.orders import ORDER_MOVES, AnswerKind, OrderState
from tests.unit.dispatch.plant import START, alert, answer

OPEN = moves.opened("0" * 32, alert(), triage(alert(), Asset(id="P-101")), START, epoch=1)


@pytest.mark.parametrize("before", list(OrderState))
@pytest.mark.parametrize("after", list(OrderState))
def test_only_moves_of_the_table_are_made(before: OrderState, after: OrderState) -> None:
    """A legal move gives the next version, any other raises."""
    order = msgspec.structs.replace(OPEN, state=before, version=5)
    if after in ORDER_MOVES[before]:
        moved = moves.move(order, after, START + 1)
        assert (moved.state, moved.version, moved.at_ns) == (after, 6, START + 1)
    else:
        with pytest.raises(moves.IllegalMove):
            moves.move(order, after, START + 1)


@pytest.mark.parametrize("state", [OrderState.VERIFIED, OrderState.CANCELLED])
def test_a_final_order_is_never_changed(state: OrderState) -> None:
    """Not even without a move."""
    with pytest.raises(moves.IllegalMove):
        moves.amend(msgspec.structs.replace(OPEN, state=state), START)


def test_every_answer_leads_along_the_table() -> None:
    """What an answer brings about is a legal move from every state in which it counts."""
    for said, (states, after) in moves.ANSWERS.items():
        for state in states:
            assert after in ORDER_MOVES[state]
            order = msgspec.structs.replace(OPEN, state=state, executor="ana", attempt=1)
            assert moves.objection(order, answer("ana", order.id, said)) is None


def test_done_straight_after_dispatch_has_all_instants() -> None:
    """When accepted and started were lost, done still says when work began and ended."""
    order = moves.dispatched(OPEN, "ana", START + 1, START + 9, epoch=2)
    done = moves.answered(order, answer("ana", order.id, AnswerKind.DONE), START + 5, START + 99)
    assert (done.begun_at_ns, done.repaired_at_ns, done.deadline_at_ns) == (START + 5, START + 5, None)
    assert (done.dispatched_at_ns, done.epoch) == (START + 1, 2)
