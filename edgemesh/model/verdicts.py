"""Verdicts: what was found about the alerts of one asset, for whoever watches it now or later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from edgemesh.model.ids import Id, Uuid
from edgemesh.model.orders import Verdict
from edgemesh.model.samples import At, Record, Retimed

MOST_VERDICTS = 32


class OrderVerdict(Record, frozen=True, kw_only=True):
    """What was found when the work of an order was done, and when (by the scheduler's clock).

    `alert` opened the order; `learnt`: a model had a part in its alerts, and not only rules.
    """

    order: Uuid
    alert: Uuid
    verdict: Verdict
    at_ns: At
    learnt: bool = False


class Verdicts(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """The newest verdicts about an asset, oldest first, one for each order."""

    asset: Id
    verdicts: Annotated[tuple[OrderVerdict, ...], Meta(max_length=MOST_VERDICTS)] = ()

    def merged(self, others: Iterable[OrderVerdict]) -> Verdicts:
        """With these besides: of one order the latest counts, and the newest 32 stay. How they arrive plays no part.

        >>> one = OrderVerdict(order="0" * 32, alert="1" * 32, verdict=Verdict.FALSE_ALARM, at_ns=5)
        >>> known = Verdicts(asset="pump").merged([one])
        >>> known.merged([one, one]) == known, len(known.verdicts)
        (True, 1)
        """
        latest: dict[str, OrderVerdict] = {}
        for each in sorted((*self.verdicts, *others), key=_place):
            latest[each.order] = each
        newest = sorted(latest.values(), key=_place)[-MOST_VERDICTS:]
        return msgspec.structs.replace(self, verdicts=tuple(newest))

    def put_right(self, known: Retimed) -> Verdicts:
        """The same with the times that they have in truth, now that the scheduler's clock is known."""
        moved = [msgspec.structs.replace(each, at_ns=known.at(each.at_ns)) for each in self.verdicts]
        return msgspec.structs.replace(self, verdicts=tuple(sorted(moved, key=_place)))


def _place(verdict: OrderVerdict) -> tuple[int, str, str, str, bool]:
    return verdict.at_ns, verdict.order, verdict.verdict.value, verdict.alert, verdict.learnt
