"""Feedback: what the verdicts about an asset mean for the threshold of its model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from edgemesh.model.orders import Verdict
from edgemesh.model.settings import Seconds, Settings
from edgemesh.model.verdicts import OrderVerdict


class FeedbackSettings(Settings, frozen=True, kw_only=True):
    """What a false alarm does to the threshold of an asset's model: `step` further out each, `most` altogether.

    Each counts for `remember`. Limits of rules never move.
    """

    step: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.1
    most: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    remember: Seconds = Seconds(90 * 86400.0)


class FeedbackState(msgspec.Struct, omit_defaults=True):
    """The `verdicts` that count, oldest first; `heard`: order and verdict of each that had its effect once.

    `news`: it has changed since it was saved. With 32 verdicts it has some 7 KB, so it is saved only then.
    """

    verdicts: tuple[OrderVerdict, ...] = ()
    heard: list[str] = []
    news: bool = False


def ease(verdicts: Iterable[OrderVerdict], now_ns: int, settings: FeedbackSettings) -> float:
    """By how many times what was learnt the limits of the model are to lie out now: 1 to 1 + `most`.

    It rests on the set of verdicts alone, so one that comes twice, late or in another order makes no difference, and
    whoever takes the asset over comes to the same. Alarms before a part was replaced were of another machine, and those
    of rules say nothing of the model.

    >>> alarms = [OrderVerdict(order=f"{i:032}", alert="0" * 32, verdict=Verdict.FALSE_ALARM, at_ns=i, learnt=True)
    ...           for i in range(9)]
    >>> [round(ease(alarms[:n], 9, FeedbackSettings()), 2) for n in (0, 1, 2, 9)]
    [1.0, 1.1, 1.2, 1.5]
    >>> ease(alarms, 91 * 86400 * 10**9, FeedbackSettings())
    1.0
    """
    known = list(verdicts)
    since_ns = replaced_ns(known)
    oldest_ns = now_ns - int(settings.remember * 1e9)
    alarms = sum(
        each.learnt and each.verdict is Verdict.FALSE_ALARM and each.at_ns > max(since_ns, oldest_ns) for each in known
    )
    return 1.0 + min(settings.most, settings.step * alarms)


def replaced_ns(verdicts: Iterable[OrderVerdict]) -> int:
    """When a part was replaced last; -1: never."""
    return max((each.at_ns for each in verdicts if each.verdict is Verdict.REPLACED_PART), default=-1)


def unheard(state: FeedbackState, verdicts: Iterable[OrderVerdict]) -> list[OrderVerdict]:
    """Those that had no effect of their own yet; they count as heard from now on, and all of them as known."""
    known = tuple(verdicts)
    news = [each for each in known if _name(each) not in state.heard]
    state.verdicts, state.heard, state.news = known, [_name(each) for each in known], True
    return news


def _name(verdict: OrderVerdict) -> str:
    return f"{verdict.order}/{verdict.verdict.value}"
