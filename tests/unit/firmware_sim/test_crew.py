"""A member of the crew says what was found if it is told to, and only then."""

import json

import pytest

from firmware_sim.broker import Watch, parse_broker
from firmware_sim.crew import Member
from firmware_sim.executor import Answer, Habits, Now
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
