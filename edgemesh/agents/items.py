"""What comes to an agent's engine, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgemesh.agents.core import Lesson, Taught
from edgemesh.log.journal import Cursor, Row
from edgemesh.log.quarantine import Quarantined
from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Cards
from edgemesh.model.samples import Sample
from edgemesh.model.told import Score

Settle = Callable[[], None]


@dataclass(slots=True, eq=False, kw_only=True)
class Arrival:
    """When it came, by the agent's clock (UTC ns): time passes for the core in the order in which things come."""

    at_ns: int = 0


@dataclass(slots=True, eq=False)
class Heard(Arrival):
    """A message of another agent's log (`kind` readings, alerts, orders), an executor's answer (`answers`), an offer of
    a model for the asset `agent` (`model`), what a detector says of one (`model_state`), what was found about its
    alerts (`verdicts`), or a command to us (`command`).
    """

    kind: str
    agent: str
    topic: str
    payload: bytes
    settle: Settle


@dataclass(slots=True, eq=False)
class Offered(Arrival):
    """Samples that a driver put in; `settle` (if any) waits for the commit."""

    samples: Sequence[Sample]
    settle: Settle | None = None


@dataclass(slots=True, eq=False)
class Noticed(Arrival):
    """Agents whose presence changed."""

    cards: Cards


@dataclass(slots=True, eq=False)
class Spoiled(Arrival):
    """Input that was refused before it came here; to be kept in the quarantine. `settle` (if any) waits for that."""

    quarantined: Quarantined
    settle: Settle | None = None


@dataclass(slots=True, eq=False)
class Given(Arrival):
    """A gateway that is now ours, with the alerts that are open on it, and how far the owner before us has come.

    We begin with its log after `since`; None: with the oldest row there is.
    """

    gateway: str
    alerts: Sequence[Alert]
    through: Cursor | None = None
    since: Cursor | None = None


@dataclass(slots=True, eq=False)
class Taken(Arrival):
    """A gateway that is now another's."""

    gateway: str


@dataclass(slots=True, eq=False)
class Met(Arrival):
    """An alert that somebody has left open on a gateway of ours."""

    alert: Alert


@dataclass(slots=True, eq=False)
class ClockSet(Arrival):
    """Our clock turned: from this item on it says `by_ns` more, and no time has passed. See `clock.Turn`.

    `number` counts the turns since the start.
    """

    by_ns: int
    doubt: int
    number: int = 0


@dataclass(slots=True, eq=False)
class Learnt(Arrival):
    """What was learnt from a lesson that the core has given out."""

    taught: Taught


Item = ClockSet | Met | Heard | Offered | Noticed | Spoiled | Given | Taken | Learnt


@dataclass(slots=True)
class Outcome:
    """What the runtime has to do after a step: everything here is on the disk already.

    `rows` are new in the outbox; `marks` are cursors that moved, `left` logs that were taken from us before they did,
    once for each time, `asks` logs that must come again; `present` says what retained topics (below the site) hold
    now, None: emptied; `settles` are to be called, `lessons` to be learnt, `asides` told if there is somebody to hear.
    """

    rows: list[Row] = field(default_factory=list)
    marks: dict[str, Cursor] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    asks: dict[str, Cursor | None] = field(default_factory=dict)
    present: dict[str, bytes | None] = field(default_factory=dict)
    settles: list[Settle] = field(default_factory=list)
    lessons: list[Lesson] = field(default_factory=list)
    asides: list[Score] = field(default_factory=list)

    def add(self, later: Outcome) -> None:
        """Take over what a later step asks for."""
        self.rows += later.rows
        self.marks = {agent: cursor for agent, cursor in self.marks.items() if agent not in later.left} | later.marks
        self.left += later.left
        self.asks |= later.asks
        self.present |= later.present
        self.settles += later.settles
        self.lessons += later.lessons
        self.asides += later.asides
