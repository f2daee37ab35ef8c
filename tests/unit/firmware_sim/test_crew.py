"""A member of the crew says what was found if it is told to, and bids for what it can do."""

import json

import pytest

from firmware_sim.broker import Watch, parse_broker
from firmware_sim.crew import Member
from firmware_sim.executor import Answer, Bid, Habits, Now
from firmware_sim.people import PEOPLE

ANA = PEOPLE[0]
AT_ONCE = Habits(think_s=(0.0, 0.0), travel_s=(0.0, 0.0), work_s=(0.0, 0.0))


def listing(state: str) -> bytes:
    order = {"order": "a", "attempt": 1, "asset": "pump-101", "state": state, "skills": {"operator": 0.5}}
    return json.dumps({"v": 1, "executor": "ana", "epoch": 1, "orders": [order]}).encode()


@pytest.mark.parametrize("verdicts", [True, False])
def test_it_passes_on_what_the_hall_has_found(verdicts: bool) -> None:
    """The hall's reply to a repair holds the verdict; it goes with `done`."""
    broker = parse_broker("mqtt://127.0.0.1:1")
    member = Member(ANA, "demo", broker, Watch(broker), habits=AT_ONCE, verdicts=verdicts)
    now = Now(100.0, 0)
    for state in ("dispatched", "accepted", "in_progress"):
        member._read(member._dispatch_topic, listing(state), now)
        member._executor.tick(now)
    reply = {"executor": "ana", "order": "a", "fits": True, "note": "no fault found", "verdict": "false_alarm"}
    effects = member._read(member._repaired_topic, json.dumps(reply).encode(), now)
    (answer,) = (effect for effect in effects if isinstance(effect, Answer))
    assert json.loads(answer.payload("ana")).get("verdict") == ("false_alarm" if verdicts else None)


def call(skill: str, **changes: object) -> bytes:
    order = {"id": "a", "attempt": 0, "asset": "pump-101", "state": "open", "deadline_at_ns": 9, "skills": {skill: 0.5}}
    return json.dumps(order | changes).encode()


def bids_of(member: Member, payload: bytes) -> list[dict[str, object]]:
    effects = member._read(member._order_topics + "a", payload, Now(100.0, 7))
    return [json.loads(effect.payload("ana")) for effect in effects if isinstance(effect, Bid)]


def test_it_bids_for_what_it_can_do() -> None:
    """With skill and nothing in hand, for the attempt that would be given out; busy, unable or silent it does not."""
    broker = parse_broker("mqtt://127.0.0.1:1")
    habits = Habits(think_s=(0.0, 0.0), travel_s=(2.0, 2.0), work_s=(0.0, 0.0), cost=3.0)
    member = Member(ANA, "demo", broker, Watch(broker), habits=habits)
    offer = {"v": 1, "executor": "ana", "order": "a", "attempt": 1, "answer": "bid", "at_ns": 7}
    assert bids_of(member, call("operator")) == [offer | {"bid": {"cost": 3.0, "travel_s": 2.0, "load": 0}}]
    assert bids_of(member, call("fitter")) == []
    assert bids_of(member, call("operator", state="accepted")) == []
    assert bids_of(member, b"") == []
    assert bids_of(member, b"{") == []
    for unwilling in (Habits(bids=False), Habits(silence=1.0)):
        assert bids_of(Member(ANA, "demo", broker, Watch(broker), habits=unwilling), call("operator")) == []
    member._read(member._dispatch_topic, listing("dispatched"), Now(100.0, 0))
    assert bids_of(member, call("operator", id="b")) == []
