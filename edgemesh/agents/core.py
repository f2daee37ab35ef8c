"""The contract of cores: the pure part of an agent, values in and values out.

No socket, no clock, no chance and no disk: the same inputs in the same order give the same records with the same ids.
The runtime calls a core from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from edgemesh.log.outbox import Cursor
from edgemesh.model.alerts import Alert
from edgemesh.model.commands import Command
from edgemesh.model.decisions import Decision
from edgemesh.model.packs import Answers, Cards, Pack
from edgemesh.model.rollouts import ModelOffer, ModelState
from edgemesh.model.samples import Record, Sample
from edgemesh.model.told import Score
from edgemesh.model.verdicts import Verdicts


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is to be learnt for an asset: `content` is a lesson (`methods/lessons.py`), encoded, `key` what names it."""

    asset: str
    key: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Samples:
    """What drivers put in since the last step, in order."""

    records: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Taught:
    """What was learnt from a lesson of this key for an asset, encoded (`methods/lessons.py`); empty: nothing."""

    asset: str
    key: str
    content: bytes


Input = Pack | Answers | Cards | Samples | Taught | ModelOffer | ModelState | Verdicts | Command


class Core(Protocol):
    """Follows the logs of others and says what belongs into its own."""

    def handle(self, pack: Input) -> Sequence[Record]:
        """Take one pack in and return the records to append to the agent's own log.

        The same pack twice is once: the second time gives no record. Never raises for what a pack holds.
        """
        ...

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Take note of the time (UTC) and return the records that time itself brings about.

        It never goes back, but for what `TimedCore.retime` says.

        The runtime ticks before each group of packs and at least four times a second.
        """
        ...

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        """Return the retained topics (below `edgemesh/v1/{site}/`) that these records change; None empties a topic.

        With `records=None`: all topics that stand now, as after a restart.
        """
        ...

    def save(self) -> Mapping[str, bytes | None]:
        """Return the parts of the state that changed since the last `save` or `load`; None: the part is gone.

        Keys are names of the core's own; parts are small, so that a commit writes little.
        """
        ...

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Go on from all parts that were ever saved and not gone, as if never stopped."""
        ...


@runtime_checkable
class TimedCore(Core, Protocol):
    """A core that remembers instants, and must not take a clock that was set for time that has passed."""

    def retime(self, by_ns: int, doubt: int) -> Sequence[Record]:
        """The agent's clock says `by_ns` more from now on (less where negative), and no time has passed between.

        `doubt` names the clock while its times can't be believed; 0: they can. The same again changes nothing.
        """
        ...


@runtime_checkable
class OwnerCore(Core, Protocol):
    """A core that follows only the gateways given to it, and can hand them over."""

    def adopt(self, gateway: str, alerts: Sequence[Alert], through: Cursor | None = None) -> None:
        """Take over a gateway with the alerts that are open on it; they go on with their ids and versions.

        What the owner before has taken in (`through`) comes again, as far as it is still held: it warms up, and says
        nothing that was said already.
        """
        ...

    def meet(self, alert: Alert) -> Sequence[Alert]:
        """Take note of an alert that another left open on a gateway of ours after we had begun.

        It is gone on with, or is over at once where we have one of its kind; the echo of our own says nothing.
        """
        ...

    def release(self, gateway: str) -> Sequence[Alert]:
        """Drop all state of a gateway that now belongs to another; return the alerts that are open on it."""
        ...


@runtime_checkable
class RehearsingCore(Core, Protocol):
    """A core that may want a log in order, whatever its producer sends first."""

    def rehearses(self, gateway: str) -> bool:
        """Whether it warms up on what the owner before has taken in."""
        ...


@runtime_checkable
class LearningCore(Core, Protocol):
    """A core that has something to learn, which takes long: it does so in its steps, or has others do it."""

    @property
    def learns(self) -> bool:
        """Whether it learns in its steps: then they do not run where others wait for them."""
        ...

    def lessons(self) -> Sequence[Lesson]:
        """What others are to learn: what has become due since the last call, or all that is due since `load`.

        The core goes on when the result comes in as `Taught`; until then it keeps what it can't judge. A result that
        nothing waits for any more is ignored.
        """
        ...


@runtime_checkable
class TellingCore(Core, Protocol):
    """A core that keeps others informed of things that are in no log."""

    def news(self) -> Mapping[str, Record | None]:
        """What has changed of retained topics since the last call, but for those that records change; see `present`."""
        ...


@runtime_checkable
class AsideCore(Core, Protocol):
    """A core that tells things that may get lost, and that nobody waits for."""

    def asides(self) -> Sequence[Score]:
        """What there is to tell since the last call. What the step before a failed commit had to tell comes again."""
        ...


@runtime_checkable
class DecidingCore(Core, Protocol):
    """A core whose decisions are kept beside its records, with what they went by."""

    def decisions(self) -> Sequence[Decision]:
        """What was decided since the last call, in order. What a step before a failed commit decided comes again."""
        ...
