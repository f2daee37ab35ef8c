"""Explanation: who would get an order as things stand, and why; and giving it to somebody by name."""

from __future__ import annotations

import math

from edgemesh.dispatch import moves
from edgemesh.dispatch.handover import Handover
from edgemesh.dispatch.ledger import Entry
from edgemesh.dispatch.matching import Need, match, shortfalls
from edgemesh.dispatch.refused import Refused
from edgemesh.dispatch.roster import Executor
from edgemesh.dispatch.settings import AuctionSettings, StrategyName
from edgemesh.dispatch.strategies import NO_BID, STRATEGIES, Candidate, Job, distance_m, least_loaded, price_parts
from edgemesh.model.commands import MOST_CONSIDERED, Assign, Considered, Explanation
from edgemesh.model.orders import OrderState

_SHOWN = 8


def find(handover: Handover, prefix: str) -> Entry:
    """The order whose id begins so. Raises Refused: there is none, or more than one."""
    entries = handover.ledger.entries
    found = [prefix] if prefix in entries else [order for order in entries if order.startswith(prefix)][:2]
    if not found:
        raise Refused(f"there is no order {prefix}")
    if len(found) > 1:
        raise Refused(f"more than one order begins with {prefix}; say more of it")
    return entries[found[0]]


def assign(handover: Handover, order: Assign) -> str:
    """Give an order to somebody by name and say so; once it is theirs, the same again changes nothing.

    Raises Refused, and nothing has happened, where the order is over or begun, or where the executor is not able, not
    there, or has no room: a person may choose among the able, and call somebody in from off shift, not more.
    """
    entry = find(handover, order.order)
    known, name, short = entry.order, order.executor, entry.order.id[:_SHOWN]
    if moves.holder(known) == name:
        return f"{name} has order {short} already"
    if known.state not in moves.NOT_BEGUN:
        what = f"{known.executor} has begun" if known.state is OrderState.IN_PROGRESS else f"it is {known.state}"
        raise Refused(f"order {short} can't be given to anybody now: {what}")
    executor = handover.roster.executors.get(name)
    if executor is None:
        raise Refused(f"nobody is called {name}")
    need = handover.requirements.need(known)
    if why := why_not(handover, executor, need, called_in=True):
        raise Refused(f"{name} can't do order {short}: {why}")
    handover.assign(entry, name, f"given to {name} by {order.by or 'hand'}")
    return f"{name} has order {short} now: {known.title}"


def why_not(handover: Handover, executor: Executor, need: Need, *, called_in: bool = False) -> str:
    """Why somebody can't take one more order of this need; empty: they can. `called_in`: even off shift."""
    roster = handover.roster
    reasons = [] if executor.up else ["down"]
    reasons += shortfalls(executor.skills, executor.certificates, need)
    if not called_in and not roster.on_shift(executor.name):
        reasons.append(f"off shift ({executor.shifts})")
    if roster.load(executor.name) >= executor.max_load:
        reasons.append(f"busy with {roster.load(executor.name)} of {executor.max_load}")
    return ", ".join(reasons)


def explain(handover: Handover, prefix: str, strategy: StrategyName, weights: AuctionSettings) -> Explanation:
    """Who would get an order now. Raises Refused where there is no such order.

    In an auction whoever has not bid is shown with what the scheduler would put a bid of theirs at.
    """
    entry = find(handover, prefix)
    order, need, job = entry.order, handover.requirements.need(entry.order), handover.job(entry.order)
    asked = {*order.tried, *entry.asked}
    considered = []
    for executor in handover.roster.executors.values():
        candidate = handover.candidate(executor.name, need)
        why = why_not(handover, executor, need)
        if not why and executor.name in asked:
            why = "was asked already"
        elif not why and executor.name in entry.avoid:
            why = "their work did not hold, comes last"
        considered.append(_considered(candidate, executor, why, job, strategy, need))
    considered.sort(key=lambda one: (one.why_not != "", () if one.why_not else one.key, one.executor))
    priced = strategy is StrategyName.AUCTION
    named = ("cost", "travel", "load", "unreliable", "energy", "speed") if priced else ()
    holder = moves.holder(order)
    free = order.state is OrderState.OPEN
    return Explanation(
        order=order.id,
        state=order.state,
        strategy=strategy.value,
        executor=handover.best(entry, order) if free else holder,
        skills=order.skills,
        certificates=need.certificates,
        least_match=need.least_match,
        weights={name: float(getattr(weights, name)) for name in named},
        considered=tuple(considered[:MOST_CONSIDERED]),
        of=len(considered),
    )


def _considered(
    candidate: Candidate, executor: Executor, why: str, job: Job, strategy: StrategyName, need: Need
) -> Considered:
    away_m, bid = distance_m(job.asset, candidate), job.bids.get(candidate.name)
    priced = strategy is StrategyName.AUCTION
    key = STRATEGIES[strategy](job, candidate)
    if key is None:  # nobody's bid comes first, then who has not bid by the least to do
        key = (math.inf, *least_loaded(job, candidate))
    finite = tuple(1e18 if math.isinf(part) else part for part in key)
    return Considered(
        executor=candidate.name,
        why_not=why[:256],
        key=finite,
        match=match(executor.skills, need),
        load=candidate.load,
        max_load=executor.max_load,
        distance_m=None if math.isinf(away_m) else away_m,
        cost=candidate.cost,
        reliability=candidate.reliability,
        bid=bid,
        price=price_parts(job, candidate, bid or NO_BID) if priced else {},
    )
