"""The command lines of assignment: what they hand over, what they print, and what they refuse."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from edgemesh.cli import main
from edgemesh.launch import assignment
from edgemesh.launch.assignment import explanation_lines
from edgemesh.model.commands import Considered, Explanation
from edgemesh.model.orders import Bid, OrderState

ORDER = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
TOLD = Explanation(
    order=ORDER,
    state=OrderState.OPEN,
    strategy="auction",
    executor="ben",
    skills={"operator": 0.5},
    certificates=("atex",),
    weights={"cost": 1.0},
    considered=(
        Considered(executor="ben", match=1.0, max_load=1, distance_m=12.0, bid=Bid(cost=3.0), price={"cost": 3.0}),
        Considered(executor="ana", match=0.5, max_load=2, load=1, reliability=0.5, why_not="down", key=(1e18,)),
    ),
    of=7,
)


def test_assign_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Order, executor and who says so; an id with dashes or in capitals is the same id."""
    asked: list[object] = []

    async def assign_order(*told: object) -> str:
        asked.append(told[1:])
        return "ana has it"

    monkeypatch.setattr(assignment, "assign_order", assign_order)
    done = CliRunner().invoke(
        main, ["assign", "0A1B-2C3D", "ana", "--by", "mia", "--site", "s", "--broker", "mqtt://h"]
    )
    assert (done.exit_code, done.output) == (0, "ana has it\n")
    assert asked == [("mqtt://h", "s", "0a1b2c3d", "ana", "mia")]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["assign", "xyz", "ana"], "'xyz' is no id of an order"),
        (["assign", "0a1", "ana"], "the beginning of one (4 of 0-9 a-f at least)"),
        (["assign", "0a1b", "a/b"], "'a/b' is no name of an executor"),
        (["dispatch", "explain", "?"], "'?' is no id of an order"),
    ],
)
def test_what_is_no_order_is_refused(arguments: list[str], problem: str) -> None:
    """With status 2 and what would do, before anybody is asked."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert problem in " ".join(done.output.split())


def test_explain_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table for people, one JSON object for programs."""

    async def explain_order(*_told: object) -> Explanation:
        return TOLD

    monkeypatch.setattr(assignment, "explain_order", explain_order)
    shown = CliRunner().invoke(main, ["dispatch", "explain", ORDER])
    assert shown.output.splitlines() == [
        "order 0a1b2c3d, open, by auction: ben would get it",
        "asks for operator >= 0.5, certificate atex",
        "weights  cost 1",
        "",
        "executor  match  load  away  kept  price  why",
        "ben       1.00   0/1   12 m  0%    3.00   bid: cost 3.00",
        "ana       0.50   1/2   ?     50%   -      not: down",
        "and 5 more",
    ]
    told = json.loads(CliRunner().invoke(main, ["dispatch", "explain", ORDER, "--json"]).output)
    assert (told["executor"], told["considered"][0]["bid"]["cost"]) == ("ben", 3.0)


def test_an_order_nobody_can_do() -> None:
    """It is said that it stays open; whoever has one that is given out is named."""
    assert (
        "nobody: it stays open and is escalated"
        in explanation_lines(
            Explanation(order=ORDER, state=OrderState.OPEN, strategy="nearest", executor=None, skills={})
        )[0]
    )
    given = Explanation(order=ORDER, state=OrderState.ACCEPTED, strategy="nearest", executor="ana", skills={})
    assert explanation_lines(given)[:2] == [
        "order 0a1b2c3d, accepted, by nearest: ana has it",
        "asks for no skill",
    ]
