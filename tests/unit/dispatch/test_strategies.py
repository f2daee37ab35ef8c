"""One contract for all strategies, and what each of them is for."""

from __future__ import annotations

import math
from collections import Counter

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemesh.dispatch.auction import OBJECTIONS
from edgemesh.dispatch.settings import AuctionSettings, StrategyName
from edgemesh.dispatch.strategies import STRATEGIES, Candidate, Job, choose, price_parts, rank
from edgemesh.model.agents import Asset
from edgemesh.model.orders import Bid

NAMES = ("ana", "ben", "cleo", "dai", "eve")
numbers = st.sampled_from((0.0, 1.0, 2.5, 1e9))
places = st.sampled_from((None, (0.0, 0.0), (3.0, 4.0), (-1e6, 1e6)))
candidates = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from(NAMES),
        load=st.integers(0, 9),
        grade=st.sampled_from((0.0, 0.5, 3.0)),
        area=st.sampled_from((None, "hall", "yard")),
        place=places,
        cost=numbers,
        energy_weight=st.sampled_from((0.0, 1.0, 1e6)),
        reliability=st.sampled_from((0.0, 0.5, 1.0)),
        turn=st.integers(0, 99),
    ),
    unique_by=lambda candidate: candidate.name,
    max_size=5,
)
bids = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(Bid, cost=st.none() | numbers, travel_s=st.none() | numbers, energy=st.none() | numbers),
)
jobs = st.builds(Job, asset=st.builds(Asset, id=st.just("P-101"), area=st.just("hall"), place=places), bids=bids)
calmly = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
every = pytest.mark.parametrize("strategy", list(StrategyName))


def test_every_name_has_its_strategy() -> None:
    """The table holds all that can be configured."""
    assert set(STRATEGIES) == set(StrategyName)


@every
@calmly
@given(job=jobs, able=candidates)
def test_the_contract(strategy: StrategyName, job: Job, able: list[Candidate]) -> None:
    """One of the candidates gets it, the same in any order; keys are sound; nobody who is not there; nobody: None."""
    ranked, chosen = rank(strategy, job, able), choose(strategy, job, able)
    assert chosen == (ranked[0][1] if ranked else None)
    assert {name for _, name in ranked} <= {one.name for one in able}
    assert chosen == choose(strategy, job, able[::-1])
    assert not any(math.isnan(part) for key, _ in ranked for part in key)
    if strategy is not StrategyName.AUCTION:
        assert len(ranked) == len(able)
    assert choose(strategy, job, []) is None


@every
@calmly
@given(job=jobs, able=candidates, data=st.data())
def test_others_change_nothing_between_two(
    strategy: StrategyName, job: Job, able: list[Candidate], data: st.DataObject
) -> None:
    """When somebody goes who did not get it, the same one gets it."""
    chosen = choose(strategy, job, able)
    others = [one for one in able if one.name != chosen]
    if others:
        gone = data.draw(st.sampled_from(others))
        assert choose(strategy, job, [one for one in able if one is not gone]) == chosen


def people(*names: str) -> list[Candidate]:
    return [Candidate(name=name) for name in names]


def test_round_robin_goes_round() -> None:
    """Everybody has a turn before anybody has another."""
    able, given_to = people(*NAMES), []
    for turn in range(1, 11):
        name = choose(StrategyName.ROUND_ROBIN, Job(asset=Asset(id="P-1")), able)
        able = [msgspec.structs.replace(one, turn=turn) if one.name == name else one for one in able]
        given_to.append(name)
    assert Counter(given_to) == dict.fromkeys(NAMES, 2)
    assert set(given_to[:5]) == set(NAMES)


def test_sticky_keeps_to_its_own() -> None:
    """An asset has its executor; when that one goes, only their assets get another."""
    assets = [Job(asset=Asset(id=f"P-{number}")) for number in range(200)]
    before = [choose(StrategyName.STICKY, job, people(*NAMES)) for job in assets]
    after = [choose(StrategyName.STICKY, job, people(*NAMES[1:])) for job in assets]
    assert all(was == now for was, now in zip(before, after, strict=True) if was != "ana")
    assert min(Counter(before).values()) > 15


def test_nearest_is_near() -> None:
    """The shortest way by places, the area where there are none, and who is nowhere comes last."""
    near, far = Candidate(name="zoe", place=(3.0, 4.0), load=5), Candidate(name="ben", place=(30.0, 40.0))
    here, lost = Candidate(name="eve", area="hall"), Candidate(name="ana")
    job = Job(asset=Asset(id="P-1", area="hall", place=(0.0, 0.0)))
    assert [name for _, name in rank(StrategyName.NEAREST, job, [lost, far, here, near])] == [
        "eve",
        "zoe",
        "ben",
        "ana",
    ]
    assert choose(StrategyName.NEAREST, Job(asset=Asset(id="P-1", place=(0.0, 0.0))), [far, near]) == "zoe"


def test_a_price_is_the_sum_of_its_parts() -> None:
    """Each weight counts what its name says, and what a bid leaves out comes from the card."""
    someone = Candidate(name="ana", load=2, place=(0.0, 84.0), cost=7.0, energy_weight=3.0, reliability=0.75)
    job = Job(asset=Asset(id="P-1", place=(0.0, 0.0)), auction=AuctionSettings(cost=2.0, travel=5.0))
    parts = {"cost": 14.0, "travel": 5.0, "load": 20.0, "unreliable": 2.5, "energy": 0.0}
    assert price_parts(job, someone, Bid()) == pytest.approx(parts)
    said = Bid(cost=1.0, travel_s=30.0, load=4, energy=2.0)
    parts = {"cost": 2.0, "travel": 2.5, "load": 40.0, "unreliable": 2.5, "energy": 6.0}
    assert price_parts(job, someone, said) == pytest.approx(parts)
    assert price_parts(job, someone, Bid(load=0))["load"] == 20.0, "somebody said to have less in hand than we gave"


def test_every_objection_is_named() -> None:
    """The counters have one name per reason."""
    assert len(OBJECTIONS) == 8
