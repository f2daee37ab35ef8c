"""A drill: one fault of the catalogue that wants a set-up of its own, and what must hold meanwhile.

Add one: write `async def run(ground: Ground) -> Finding`, name it in a `Drill` and the module in `catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgemesh.prove.judge import Verdict
from edgemesh.prove.site import DETECTORS, GATEWAYS, lay_out
from edgemesh.prove.stand import Stand

Figure = int | float | str
Say = Callable[[str], None]
"""Told what is under way, for the progress bar."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a drill is given.

    `folder` is empty and its own. `broker` is as for `lay_out`. With `short` it takes seconds where the whole one takes
    minutes. `without` are guards that are left off: then the drill must find what is broken.
    """

    folder: Path
    broker: str
    seed: int
    short: bool
    without: tuple[str, ...]
    say: Say

    def stand(
        self,
        *,
        rate: float = 600.0,
        detectors: Sequence[str] = DETECTORS,
        gateways: Sequence[str] = GATEWAYS,
        extra: str = "",
        name: str = "site",
    ) -> Stand:
        """Lay out a site of `rate` readings a second; change its programs before it is started, if you need to.

        `name` is its folder, for a drill with several sites one after the other.
        """
        site = lay_out(
            self.folder / name,
            broker=self.broker,
            rate=rate / 2,
            seed=self.seed,
            detectors=detectors,
            gateways=gateways,
            extra=extra,
        )
        site.weaken(self.without)
        return Stand(site)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill has found: whether all held, what did not, and the figures in the order of their importance."""

    broken: tuple[str, ...] = ()
    figures: dict[str, Figure] = {}

    @property
    def held(self) -> bool:
        """Whether everything that must hold did."""
        return not self.broken


@dataclass(frozen=True, slots=True)
class Drill:
    """One row of the catalogue: its number and name, what is done, what must hold, and how.

    `guards` are those of `edgemesh.prove.broken` whose absence this drill must find.
    """

    catalogue: str
    name: str
    how: str
    holds: str
    run: Callable[[Ground], Coroutine[Any, Any, Finding]]
    guards: tuple[str, ...] = ()


def broken_by(verdict: Verdict) -> list[str]:
    """The figures of a verdict that are not zero and should be, as sentences."""
    groups = {"readings": verdict.readings, "alerts": verdict.alerts, "orders": verdict.orders}
    bad = [
        f"{figures[what]} {group} {what.replace('_', ' ')}"
        for group, figures in groups.items()
        for what in ("lost", "doubled", "started_twice")
        if figures.get(what)
    ]
    return [*bad, *(["no reading was accepted"] if not verdict.readings["accepted"] else [])]
