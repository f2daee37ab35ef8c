"""How one member of the crew deals with orders: a pure state machine, values in, effects out.

The retained dispatch list is the truth about what is to be done; answers are idempotent by (order, attempt, answer)
and are sent again while the list is behind them. `started` is the wish to begin; the work begins when the list shows
the order in progress, so work that may have begun is never given to somebody else because this one is gone. Two fences
keep work from being done twice: lists of a lower epoch are ignored, and an order that was begun is never begun again,
whatever attempt number it carries; only one that was reopened, because the sensor did not agree, is work anew.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random

from firmware_sim.listing import Listing, Order
from firmware_sim.memory import Mark, Memory

RETRY_S = 2.0
"""An answer that the list does not reflect is sent again after this time."""
SETTLE_S = 0.3
"""After a reconnect the retained list gets this long to arrive before answers are sent again."""
GRACE_S = 1.0
"""How long the hall may take to say what came of a repair; then the work counts as done."""

ANSWER_RANK = {"accepted": 1, "started": 2, "done": 3, "refused": 3, "failed": 3}
"""The rank that the listed state of an order has once the scheduler has understood the answer."""
BID = "bid"
"""What is said of an order that is not listed: an offer, which may be lost like any other word."""
GRANTED = "in_progress"
"""The listed state in which the work may begin: whoever has the order in this state keeps it, dead or alive."""


@dataclass(frozen=True, slots=True)
class Now:
    """An instant: `mono_s` of a clock that never jumps, `at_ns` UTC."""

    mono_s: float
    at_ns: int


@dataclass(frozen=True, slots=True)
class Habits:
    """How somebody works: times are (shortest, longest) in seconds, probabilities are per order and attempt.

    `cost` is what an order costs; `bids`: whether calls are answered.
    """

    think_s: tuple[float, float] = (0.3, 1.0)
    travel_s: tuple[float, float] = (1.0, 2.0)
    work_s: tuple[float, float] = (2.0, 4.0)
    refusal: float = 0.0
    silence: float = 0.0
    cost: float = 1.0
    bids: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """Effect: tell the scheduler (accepted, refused, started, done or failed); `again` if it was, or may have been."""

    order: str
    mark: Mark
    again: bool = False

    def payload(self, executor: str) -> bytes:
        """The JSON for `answer/{executor}`."""
        body = {
            "v": 1,
            "executor": executor,
            "order": self.order,
            "attempt": self.mark.attempt,
            "answer": self.mark.answer,
            "at_ns": self.mark.at_ns,
            "note": self.mark.note,
        }
        if self.mark.verdict:
            body["verdict"] = self.mark.verdict
        return json.dumps(body, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Begin:
    """Effect: the work on this order begins now, for the first time; `mark` is on record."""

    order: Order
    mark: Mark


@dataclass(frozen=True, slots=True)
class Mend:
    """Effect: lay hands on the machine of this order."""

    order: Order


@dataclass(frozen=True, slots=True)
class Save:
    """Effect: keep this memory (JSON) before the effects after it become visible."""

    memory: str


@dataclass(frozen=True, slots=True)
class Bid:
    """Effect: offer to do an order, under the attempt that would be given out; `travel_s` away, `load` in hand."""

    order: str
    attempt: int
    at_ns: int
    travel_s: float
    cost: float
    load: int = 0

    def payload(self, executor: str) -> bytes:
        """The JSON for `answer/{executor}`."""
        body = {
            "v": 1,
            "executor": executor,
            "order": self.order,
            "attempt": self.attempt,
            "answer": BID,
            "at_ns": self.at_ns,
            "bid": {"cost": self.cost, "travel_s": round(self.travel_s, 3), "load": self.load},
        }
        return json.dumps(body, separators=(",", ":")).encode()


Effect = Answer | Begin | Bid | Mend | Save


class Phase(Enum):
    """Where somebody is with an order. READY: on the spot, waiting for leave to begin."""

    THINKING = "thinking"
    TRAVELLING = "travelling"
    READY = "ready"
    WORKING = "working"
    MENDING = "mending"


AT_WORK = frozenset({Phase.WORKING, Phase.MENDING})
"""Phases in which the work has begun."""


@dataclass(slots=True)
class Job:
    """The one order in hand; the phase ends at `due_s` of the monotonic clock (READY: never by itself)."""

    order: Order
    phase: Phase
    due_s: float
    travel_s: float
    work_s: float
    refuses: bool


@dataclass(frozen=True, slots=True)
class Chance:
    """What becomes of one order under one attempt."""

    silent: bool
    refuses: bool
    think_s: float
    travel_s: float
    work_s: float


@dataclass(slots=True)
class Given:
    """The last answer to a listed order, and when it was sent last."""

    mark: Mark
    sent_s: float


class Executor:
    """One person who takes one order at a time.

    Feed it every list (`follow`), every call (`call`), every word of the hall (`repaired`), every reconnect, and call
    `tick` at `wake_s` or later; carry out the effects in order. Two executors with equal arguments and inputs behave
    alike.
    """

    def __init__(
        self,
        name: str,
        skills: tuple[str, ...],
        habits: Habits | None = None,
        seed: int = 0,
        memory: Memory | None = None,
    ) -> None:
        self.name, self.skills, self.seed = name, skills, seed
        self.habits = habits if habits is not None else Habits()
        self.memory = memory if memory is not None else Memory()
        self.fenced = 0
        self._job: Job | None = None
        self._listed: dict[str, Order] = {}
        self._given: dict[str, Given] = {}
        self._ignored: set[tuple[str, int]] = set()

    @property
    def load(self) -> int:
        """Orders in hand, 0 or 1."""
        return 0 if self._job is None else 1

    @property
    def wake_s(self) -> float | None:
        """When `tick` has something to do next, on the monotonic clock; None: nothing is pending."""
        due = [given.sent_s + RETRY_S for order, given in self._given.items() if self._behind(order, given)]
        if self._job is not None and self._job.phase is not Phase.READY:
            due.append(self._job.due_s)
        return min(due, default=None)

    def follow(self, listing: Listing | None, now: Now) -> list[Effect]:
        """The list changed; None is an emptied topic. Orders that are gone are withdrawn."""
        effects: list[Effect] = []
        if listing is not None:
            if listing.epoch < self.memory.epoch:
                self.fenced += 1
                return effects
            if listing.epoch > self.memory.epoch:
                self.memory.epoch = listing.epoch
                effects.append(self._save())
        self._listed = {}
        for order in listing.orders if listing is not None else ():
            known = self._listed.get(order.order)
            if known is None or known.attempt < order.attempt:
                self._listed[order.order] = order
        self._given = {order: given for order, given in self._given.items() if order in self._listed}
        if self._job is not None and self._over(self._job.order):
            self._job = None
        for order in self._listed.values():
            effects += self._consider(order, now)
        return effects

    def _over(self, order: Order) -> bool:
        """Whether an order is withdrawn, or finished in the eyes of the scheduler."""
        listed = self._listed.get(order.order)
        return listed is None or (listed.rank >= ANSWER_RANK["done"] and listed.attempt >= order.attempt)

    def _consider(self, order: Order, now: Now) -> list[Effect]:
        """What a listed order calls for: leave to begin is used, and what has no answer under this attempt gets one."""
        if order.rank >= ANSWER_RANK["done"]:
            return []
        job = self._job
        if job is not None and job.order.order == order.order:
            return self._continue(job, order, now)
        given = self._given.get(order.order)
        if given is not None and given.mark.attempt >= order.attempt:
            return []
        settled = self.memory.settled.get(order.key)
        if settled is not None:
            return [self._say(order, settled.answer, now, settled.at_ns, settled.note, verdict=settled.verdict)]
        if job is not None:
            return [self._say(order, "refused", now, note="busy with another order")]
        if order.skills and not set(order.skills) & set(self.skills):
            return [self._say(order, "refused", now, note=f"no {' or '.join(order.skills)}")]
        return self._take(order, now)

    def _continue(self, job: Job, order: Order, now: Now) -> list[Effect]:
        """The order in hand is listed: it may begin, or was given again under a higher attempt and is gone on with."""
        if order.attempt < job.order.attempt:
            return []
        if order.key != job.order.key:
            self._job = None
            return self._consider(order, now)
        anew = order.attempt > job.order.attempt
        job.order = order
        if order.state == GRANTED:
            return [] if job.phase in AT_WORK else self._begin(job, now)
        if not anew or job.phase is Phase.THINKING:
            return []
        if job.phase is Phase.READY:  # the wish was for another attempt; `tick` says it anew
            job.phase, job.due_s = Phase.TRAVELLING, now.mono_s
        answer = "started" if job.phase in AT_WORK else "accepted"
        return [] if order.rank >= ANSWER_RANK[answer] else [self._say(order, answer, now)]

    def _take(self, order: Order, now: Now) -> list[Effect]:
        """Makes an order the job in hand; one that was under way before a crash or a withdrawal is gone on with."""
        if (order.order, order.attempt) in self._ignored:
            return []
        begun = self.memory.begun.get(order.key)
        under_way = begun is not None or order.state == GRANTED
        chance = self._chance(order)
        if chance.silent and not under_way:
            self._ignored.add((order.order, order.attempt))
            return []
        think_s, travel_s, work_s, refuses = chance.think_s, chance.travel_s, chance.work_s, chance.refuses
        job = self._job = Job(order, Phase.THINKING, now.mono_s + think_s, travel_s, work_s, refuses and not under_way)
        if order.state == GRANTED:
            return self._begin(job, now)
        if begun is not None and begun.attempt == order.attempt:
            job.phase, job.due_s = Phase.READY, math.inf
            return [self._say(order, "started", now, begun.at_ns, again=True)]
        if order.rank >= ANSWER_RANK["accepted"]:
            job.phase, job.due_s = Phase.TRAVELLING, now.mono_s + travel_s
        return []

    def call(self, order: Order, now: Now) -> list[Effect]:
        """Bids are asked for: somebody who has the skill and nothing in hand says how soon they would be there."""
        lacks = order.skills and not set(order.skills) & set(self.skills)
        if not self.habits.bids or self._job is not None or lacks or order.key in self.memory.settled:
            return []
        chance = self._chance(order)
        if chance.silent:
            return []
        return [Bid(order.order, order.attempt, now.at_ns, chance.travel_s, self.habits.cost, self.load)]

    def _chance(self, order: Order) -> "Chance":
        """What chance has in store for an order under this attempt: the same whenever it is asked."""
        rng, habits = Random(f"{self.seed}:{self.name}:{order.order}:{order.attempt}"), self.habits
        silent, refuses = rng.random() < habits.silence, rng.random() < habits.refusal
        return Chance(
            silent, refuses, rng.uniform(*habits.think_s), rng.uniform(*habits.travel_s), rng.uniform(*habits.work_s)
        )

    def _begin(self, job: Job, now: Now) -> list[Effect]:
        """Begins the work, on record first; work begun before (a crash, a withdrawal) is only gone on with."""
        job.phase, job.due_s = Phase.WORKING, now.mono_s + job.work_s
        if job.order.key in self.memory.begun:
            return []
        mark = self.memory.begun[job.order.key] = Mark("started", job.order.attempt, now.at_ns)
        return [self._save(), Begin(job.order, mark)]

    def tick(self, now: Now) -> list[Effect]:
        """Time has come to `now`: phases end, and answers that nobody heard are sent again."""
        effects: list[Effect] = []
        while self._job is not None and self._job.due_s <= now.mono_s:
            effects += self._PHASE_ENDS[self._job.phase](self, self._job, now)
        for order, given in self._given.items():
            if self._behind(order, given) and now.mono_s >= given.sent_s + RETRY_S:
                given.sent_s = now.mono_s
                effects.append(Answer(order, given.mark, again=True))
        return effects

    def _decide(self, job: Job, now: Now) -> list[Effect]:
        if job.refuses:
            self._job = None
            return [self._say(job.order, "refused", now, note="not now")]
        job.phase, job.due_s = Phase.TRAVELLING, now.mono_s + job.travel_s
        return [self._say(job.order, "accepted", now)]

    def _start(self, job: Job, now: Now) -> list[Effect]:
        """On the spot: asks for leave to begin, which the list gives."""
        job.phase, job.due_s = Phase.READY, math.inf
        return [self._say(job.order, "started", now)]

    def _mend(self, job: Job, now: Now) -> list[Effect]:
        job.phase, job.due_s = Phase.MENDING, now.mono_s + GRACE_S
        return [Mend(job.order)]

    def _finish(self, job: Job, now: Now) -> list[Effect]:
        return self._settle(job, "done", "work done", now)

    _PHASE_ENDS: "dict[Phase, Callable[[Executor, Job, Now], list[Effect]]]" = {
        Phase.THINKING: _decide,
        Phase.TRAVELLING: _start,
        Phase.WORKING: _mend,
        Phase.MENDING: _finish,
    }

    def repaired(self, order: str, fits: bool, note: str, now: Now, verdict: str = "") -> list[Effect]:
        """The hall says what came of the repair: done (with a verdict, if any), or failed if the skill did not fit."""
        job = self._job
        if job is None or job.phase is not Phase.MENDING or job.order.order != order:
            return []
        return self._settle(job, "done" if fits else "failed", note, now, verdict if fits else "")

    def _settle(self, job: Job, answer: str, note: str, now: Now, verdict: str = "") -> list[Effect]:
        self._job = None
        self.memory.settle(job.order.key, Mark(answer, job.order.attempt, now.at_ns, note, verdict))
        return [self._save(), self._say(job.order, answer, now, note=note, verdict=verdict)]

    def reconnected(self, now: Now) -> None:
        """The broker is back and may have forgotten: answers ahead of the list are due again shortly."""
        for given in self._given.values():
            given.sent_s = min(given.sent_s, now.mono_s - RETRY_S + SETTLE_S)

    def _behind(self, order: str, given: Given) -> bool:
        """Whether the list does not reflect an answer to its very attempt yet."""
        listed = self._listed[order]
        return listed.attempt == given.mark.attempt and listed.rank < ANSWER_RANK[given.mark.answer]

    def _say(
        self,
        order: Order,
        answer: str,
        now: Now,
        at_ns: int | None = None,
        note: str = "",
        again: bool = False,
        verdict: str = "",
    ) -> Answer:
        mark = Mark(answer, order.attempt, now.at_ns if at_ns is None else at_ns, note, verdict)
        if order.order in self._listed:
            self._given[order.order] = Given(mark, now.mono_s)
        return Answer(order.order, mark, again)

    def _save(self) -> Save:
        return Save(self.memory.to_json())
