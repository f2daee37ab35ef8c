"""Causes: which signs speak for which, what is to be done about each, and who can; a table that anybody can replace."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from edgemesh.dispatch.evidence import direction
from edgemesh.model.alerts import AlertKind, Evidence
from edgemesh.model.ids import Id
from edgemesh.model.orders import Priority, Skills
from edgemesh.model.settings import Seconds, Settings, decode_amount

Glob = Annotated[str, Meta(min_length=1, max_length=200)]
Sign = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,32}[+-](?!\n)$")]
MAX_SIGNS = 16
"""An alert of very many evidences is judged by its strongest ones."""
MAX_STRENGTH = 10.0
"""Scores beyond count as this: a sensor that is far off does not outvote all the others."""
BY_METRIC = 0.5
"""The most that a cause is worth that only the strongest metric speaks for."""


class SignRow(Settings, frozen=True, kw_only=True):
    """One picture of a cause: `needs` must all be seen, `fits` may be seen, any other sign speaks against it.

    A sign is a channel and where it went: `flow-`, `discharge+`.
    """

    needs: Annotated[tuple[Sign, ...], Meta(min_length=1, max_length=MAX_SIGNS)]
    fits: Annotated[tuple[Sign, ...], Meta(max_length=64)] = ()

    def explains(self, seen: frozenset[str]) -> bool:
        """Whether all it needs is seen, and nothing else but what fits."""
        return seen.issuperset(self.needs) and seen.issubset((*self.needs, *self.fits))


class Cause(Settings, frozen=True, kw_only=True):
    """A cause, what to do about it, and who can.

    `skills` as in a rule of triage; `priority` is that of a critical alert on an asset of criticality A. `parts` are
    what is likely to be needed, `duration` how long the work takes (0: unknown), `verify` for how long the sensor must
    agree afterwards (0: as the settings say). `signs` count for assets of a class that fits the glob `asset_class`.
    """

    name: Id
    cause: Annotated[str, Meta(max_length=200)]
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    skills: Skills
    priority: Priority = Priority.P1
    parts: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(max_length=16)] = ()
    duration: Seconds = Seconds(0.0)
    verify: Seconds = Seconds(0.0)
    asset_class: Glob = "*"
    signs: Annotated[tuple[SignRow, ...], Meta(max_length=64)] = ()


class CauseTable(Settings, frozen=True, kw_only=True):
    """All causes, most telling first. ValueError where a part names what the table does not have.

    `channel`: glob of a metric and the channel that it is; the first that fits counts, no name: none. `metric`: glob of
    a metric and the cause that it speaks for by itself, where no row of signs explains the alert. `kind`: the cause of
    alerts of a kind; that of `machine` is for what nothing else explains.
    """

    channel: Annotated[tuple[tuple[Glob, Annotated[str, Meta(max_length=32)]], ...], Meta(max_length=500)] = ()
    metric: Annotated[tuple[tuple[Glob, Id], ...], Meta(max_length=500)] = ()
    kind: dict[AlertKind, Id]
    cause: Annotated[tuple[Cause, ...], Meta(min_length=1, max_length=500)]

    def __post_init__(self) -> None:
        names, channels = {cause.name for cause in self.cause}, {name for _, name in self.channel}
        if len(names) < len(self.cause):
            raise ValueError("two causes have the same name")
        if missing := set(AlertKind) - self.kind.keys():
            raise ValueError(f"`kind` says nothing of {', '.join(sorted(missing))}")
        for name in (*self.kind.values(), *(name for _, name in self.metric)):
            if name not in names:
                raise ValueError(f"there is no cause `{name}`")
        for cause in self.cause:
            for row in cause.signs:
                if strange := [sign for sign in (*row.needs, *row.fits) if sign[:-1] not in channels]:
                    raise ValueError(f"cause `{cause.name}` has the sign `{strange[0]}`, which is of no `channel`")
                if both := set(row.needs) & set(row.fits):
                    raise ValueError(f"cause `{cause.name}` both needs `{min(both)}` and lets it fit")

    def get(self, name: str) -> Cause:
        """The cause of this name. KeyError: there is none."""
        for cause in self.cause:
            if cause.name == name:
                return cause
        raise KeyError(name)


class Finding(NamedTuple):
    """The likely cause, how sure that is (0..1), and the evidence that speaks for it most."""

    cause: Cause
    confidence: float
    evidence: Evidence


def read_causes(text: str) -> CauseTable:
    """A table from TOML. ValueError says what is wrong with it."""
    try:
        return msgspec.convert(tomllib.loads(text), CauseTable, dec_hook=decode_amount)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(str(error)) from None


@lru_cache(maxsize=1)
def built_in() -> CauseTable:
    """The table that comes with edgemesh, `causes.toml` beside this file."""
    return read_causes(files(__package__).joinpath("causes.toml").read_text(encoding="utf-8"))


def name_cause(
    kind: AlertKind, evidence: Sequence[Evidence], asset_class: str = "machine", table: CauseTable | None = None
) -> Finding:
    """The likely cause of an alert, from its `evidence` (strongest first, at least one) and the class of its asset.

    By the first row that explains the signs, the weakest left out until one does; its confidence is the share of the
    signs' strength that it explains, shared with other causes that explain the same. Else by the strongest metric that
    speaks for a cause, worth at most BY_METRIC. What is no machine's has the cause of its kind, for sure.
    """
    table = table or built_in()
    if kind is not AlertKind.MACHINE:
        return Finding(table.get(table.kind[kind]), 1.0, evidence[0])
    return (
        _by_signs(evidence[:MAX_SIGNS], asset_class.lower(), table)
        or _by_metric(evidence, table)
        or Finding(table.get(table.kind[kind]), 0.0, evidence[0])
    )


def _by_signs(evidence: Sequence[Evidence], asset_class: str, table: CauseTable) -> Finding | None:
    signs = [(sign, one) for one in evidence if (sign := _sign(one, table))]
    whole = sum(strength_of(one) for _, one in signs)
    while signs:
        seen = frozenset(sign for sign, _ in signs)
        able = [
            cause
            for cause in table.cause
            if fnmatchcase(asset_class, cause.asset_class.lower()) and any(row.explains(seen) for row in cause.signs)
        ]
        if able:
            share = sum(strength_of(one) for _, one in signs) / whole if whole else 0.0
            return Finding(able[0], round(share / len(able), 3), signs[0][1])
        signs.pop()
    return None


def _by_metric(evidence: Sequence[Evidence], table: CauseTable) -> Finding | None:
    whole = sum(map(strength_of, evidence))
    for one in evidence:
        name = _first(one.metric, table.metric)
        if name:
            share = strength_of(one) / whole if whole else 0.0
            return Finding(table.get(name), round(BY_METRIC * share, 3), one)
    return None


def strength_of(one: Evidence) -> float:
    """Its score, held to 0..MAX_STRENGTH; what is no number counts nothing."""
    return 0.0 if math.isnan(one.score) else min(max(one.score, 0.0), MAX_STRENGTH)


def _sign(one: Evidence, table: CauseTable) -> str:
    channel, way = _first(one.metric, table.channel), direction(one)
    return f"{channel}{'+' if way > 0 else '-'}" if channel and way else ""


def _first(metric: str, globs: Iterable[tuple[str, str]]) -> str:
    metric = metric.lower()
    return next((name for glob, name in globs if fnmatchcase(metric, glob)), "")
