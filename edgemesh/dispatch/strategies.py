"""Strategies: who of the able gets an order. One table of plain functions, one contract.

A strategy gives each candidate a key by which the least one gets the order, or None: not in the running. Keys that are
equal are told apart by name. It looks at one candidate at a time, so who else is there, and in which order, changes
nothing between two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import msgspec

from edgemesh.dispatch.rendezvous import weight
from edgemesh.dispatch.settings import AuctionSettings, StrategyName
from edgemesh.model.agents import Asset, Place
from edgemesh.model.orders import Bid

NO_BID = Bid()
_LOST_S = 3600.0
"""How long the way is taken to be that nobody knows: no place is on the card, or none is configured for the asset."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be given out: the asset, the bids by executor, and what weighs how much in their price."""

    asset: Asset
    bids: Mapping[str, Bid] = {}
    auction: AuctionSettings = AuctionSettings()


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is able and has room. `load`: orders in hand; `grade`: weighted sum of the grades asked for;
    `turn`: number of the newest order they were given, 0: none; `reliability`: 0..1.
    """

    name: str
    load: int = 0
    grade: float = 0.0
    area: str | None = None
    place: Place | None = None
    cost: float = 0.0
    energy_weight: float = 1.0
    reliability: float = 0.5
    turn: int = 0


Key = tuple[float, ...]
Strategy = Callable[[Job, Candidate], Key | None]


def distance_m(asset: Asset, candidate: Candidate) -> float:
    """The way in metres as the crow flies; without places none within an area; infinite where nobody knows."""
    if asset.place is not None and candidate.place is not None:
        return math.dist(asset.place, candidate.place)
    return 0.0 if candidate.area == asset.area else math.inf


def price_parts(job: Job, candidate: Candidate, bid: Bid) -> dict[str, float]:
    """What makes up the price of a bid, by the names of the weights; what the bid leaves out is estimated."""
    weights = job.auction
    travel_s = min(distance_m(job.asset, candidate) / weights.speed, _LOST_S) if bid.travel_s is None else bid.travel_s
    return {
        "cost": weights.cost * (candidate.cost if bid.cost is None else bid.cost),
        "travel": weights.travel * travel_s / 60.0,
        "load": weights.load * max(candidate.load, bid.load or 0),
        "unreliable": weights.unreliable * (1.0 - candidate.reliability),
        "energy": weights.energy * candidate.energy_weight * (bid.energy or 0.0),
    }


def auction(job: Job, candidate: Candidate) -> Key | None:
    """The least price, then the best suited; who has made no bid is not in the running."""
    bid = job.bids.get(candidate.name)
    return None if bid is None else (sum(price_parts(job, candidate, bid).values()), -candidate.grade)


def least_loaded(_job: Job, candidate: Candidate) -> Key:
    """The fewest orders in hand, then the best suited."""
    return candidate.load, -candidate.grade


def round_robin(_job: Job, candidate: Candidate) -> Key:
    """Whose turn was the longest ago."""
    return (candidate.turn,)


def nearest(job: Job, candidate: Candidate) -> Key:
    """The shortest way, then the fewest orders in hand, then the best suited."""
    return distance_m(job.asset, candidate), candidate.load, -candidate.grade


def sticky(job: Job, candidate: Candidate) -> Key:
    """The same one for the same asset, by rendezvous hashing: when one goes, only their assets get another."""
    return (-int.from_bytes(weight(job.asset.id, candidate.name)),)


STRATEGIES: dict[StrategyName, Strategy] = {
    StrategyName.LEAST_LOADED: least_loaded,
    StrategyName.ROUND_ROBIN: round_robin,
    StrategyName.NEAREST: nearest,
    StrategyName.STICKY: sticky,
    StrategyName.AUCTION: auction,
}


def rank(name: StrategyName, job: Job, candidates: Iterable[Candidate]) -> list[tuple[Key, str]]:
    """Who is in the running, with their keys; the first gets it."""
    strategy = STRATEGIES[name]
    found = ((strategy(job, candidate), candidate.name) for candidate in candidates)
    return sorted((key, name) for key, name in found if key is not None)


def choose(name: StrategyName, job: Job, candidates: Iterable[Candidate]) -> str | None:
    """Who gets it; None: nobody is in the running."""
    strategy = STRATEGIES[name]
    found = ((strategy(job, candidate), candidate.name) for candidate in candidates)
    return min(((key, name) for key, name in found if key is not None), default=((), None))[1]
