"""Voting: several methods judge the same rows of an asset, and an alert takes as many of them as the settings say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from edgemesh.detect.methods.contract import Method
from edgemesh.detect.methods.judgement import NOT_YET, Blame, Judgement
from edgemesh.detect.methods.lessons import Lesson, Result
from edgemesh.detect.methods.plugged import MOST_WARM
from edgemesh.detect.models.profile import Profile
from edgemesh.detect.models.settings import Vote

_MOST_BLAMED = 3


class Ballot(NamedTuple):
    """What one method says of a row, and how much its voice weighs (above 0). `version` names it in alerts."""

    version: str
    weight: float
    judgement: Judgement


def combine(ballots: Sequence[Ballot], *, alone: bool) -> Judgement:
    """One judgement out of those of a row. It is flagged when the weights of those that flag are more than half.

    `alone`: any one of them is enough. The score is the highest that enough of them reach; `by` names those that agree.

    >>> low, high = Judgement(0.4, flag=False), Judgement(3.0, flag=True)
    >>> ballots = [Ballot("a-1", 2.0, high), Ballot("b-1", 1.0, low)]
    >>> combine(ballots, alone=False).by, combine(ballots[1:], alone=True).score
    (('a-1',), 0.4)
    """
    enough = 0.0 if alone else 0.5 * sum(ballot.weight for ballot in ballots)
    flag = sum(ballot.weight for ballot in ballots if ballot.judgement.flag) > enough
    score = voices = 0.0
    for ballot in sorted(ballots, key=lambda ballot: -ballot.judgement.score):
        score, voices = ballot.judgement.score, voices + ballot.weight
        if voices > enough:
            break
    agreed = [ballot for ballot in ballots if ballot.judgement.flag] if flag else list(ballots)
    parts: dict[int, Blame] = {}
    for part in sorted((part for each in agreed for part in each.judgement.blame), key=lambda part: -part.score):
        parts.setdefault(part.channel, part)
    return Judgement(
        score,
        flag,
        tuple(parts.values())[:_MOST_BLAMED] if flag or score > 1.0 else (),
        max((ballot.judgement.since for ballot in ballots), default=0),
        tuple(ballot.version for ballot in agreed) if flag else (),
    )


class Panel(Method):
    """Judges once all of its methods have learnt; those that have failed have no voice, and with none left rules go on.

    Each sees all rows and decides by itself when it flags and clears. The warm-up is kept whole until all have learnt,
    and taken again after a restart.
    """

    def __init__(self, methods: Mapping[str, Method], vote: Vote) -> None:
        """`methods` by their names in the settings."""
        self.methods, self.vote = dict(methods), vote
        self.name = "+".join(method.name for method in methods.values())
        self.warmup: list[list[float]] = []
        self._learnt = False
        self._behind: list[list[float]] = []  # rows of a warm-up that was saved, which wait for a lesson
        self._saved: dict[str, Profile] = {}

    @property
    def learnt(self) -> bool:
        """Whether all have learnt, or enough rows have passed to go on without some."""
        return self._learnt

    @property
    def version(self) -> str:
        """Those of all that judge."""
        return " + ".join(method.version for method in self.methods.values() if not method.failures)

    @property
    def refused(self) -> int:  # type: ignore[override]  # read only here
        """How many warm-ups of its methods held nothing."""
        return sum(method.refused for method in self.methods.values())

    @property
    def failures(self) -> int:  # type: ignore[override]
        """How many of its methods do not judge any more."""
        return sum(method.failures for method in self.methods.values())

    @property
    def room(self) -> int | None:
        """The least of its methods."""
        rooms = [method.room for method in self.methods.values()]
        return min((room for room in rooms if room is not None), default=None)

    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Have each method judge the next rows, up to where one wants to learn, and count their votes."""
        judged: list[Judgement] = []
        while len(judged) < len(rows) and not self.wants:
            room = self.room or len(rows)
            judged += self._take(rows[len(judged) : len(judged) + room])
        return judged

    def warm(self, rows: Sequence[Sequence[float]]) -> None:
        """Take the rows of a warm-up again, up to where something is to be learnt, and the rest behind that."""
        taken = len(self.take(rows))
        self._behind = [list(row) for row in rows[taken:]]
        self.warmup += self._behind

    def skip(self) -> None:
        """Rows are missing: see `Method`."""
        for method in self.methods.values():
            method.skip()

    def ease(self, factor: float) -> None:
        """The limits of all that have some."""
        for method in self.methods.values():
            method.ease(factor)

    def acknowledge(self) -> None:
        """All of them hear of it."""
        for method in self.methods.values():
            method.acknowledge()

    @property
    def wants(self) -> bool:
        """Whether one of them has to learn before the next row."""
        return any(method.wants for method in self.methods.values())

    def lesson(self) -> Lesson:
        """That of the first that wants one."""
        return self._pupil().lesson()

    def learn(self, result: Result) -> None:
        """What the first that wants it has learnt."""
        self._pupil().learn(result)
        behind, self._behind = self._behind, []
        if behind:
            del self.warmup[len(self.warmup) - len(behind) :]
            self.warm(behind)
        self._note_learnt()

    def capture(self) -> bytes:
        """What each has captured."""
        return msgspec.msgpack.encode({name: method.capture() for name, method in self.methods.items()})

    def twin(self, moving: bytes) -> Panel:
        """A panel of twins; those that have failed have no voice there either."""
        captured = msgspec.msgpack.decode(moving, type=dict[str, bytes])
        if captured.keys() != self.methods.keys():
            raise ValueError("it was captured of other methods")
        if any(not method.learnt for method in self.methods.values()):
            raise ValueError("one of its methods learns still")
        twins = {
            name: method if method.failures else method.twin(captured[name]) for name, method in self.methods.items()
        }
        twin = Panel(twins, self.vote)
        twin._learnt = True
        return twin

    def parts(self) -> dict[str, bytes | None]:
        """The parts of each under `vote/NAME/`, its profile among them."""
        if not self._learnt:
            return {}
        parts: dict[str, bytes | None] = {"moving": msgspec.msgpack.encode(len(self.methods))}
        for name, method in self.methods.items():
            parts |= {f"vote/{name}/{part}": content for part, content in method.parts().items()}
            if method.profile is not None and self._saved.get(name) is not method.profile:
                self._saved[name] = method.profile
                parts[f"vote/{name}/model"] = method.profile.content
        return parts

    def save_anew(self) -> None:
        """The parts of all are due again."""
        self._saved.clear()
        for method in self.methods.values():
            method.save_anew()

    def resume(self, parts: Mapping[str, bytes], number: int) -> None:
        """Go on from the parts of each; one that had none begins to learn."""
        for name, method in self.methods.items():
            prefix = f"vote/{name}/"
            own = {part.removeprefix(prefix): content for part, content in parts.items() if part.startswith(prefix)}
            if "moving" in own:
                method.resume(own, number)
            if method.profile is not None:
                self._saved[name] = method.profile
        self._learnt = True

    def _take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        voters = [name for name, method in self.methods.items() if method.learnt]
        judged = {name: method.take(rows) for name, method in self.methods.items()}
        if not self._learnt:
            self.warmup += [[math.nan if value is None else value for value in row] for row in rows]
            self._note_learnt()
            return [NOT_YET] * len(rows)
        voters = [name for name in voters if not self.methods[name].failures]
        if not voters:
            return [NOT_YET] * len(rows)
        heads = [(self.methods[name].version, self._weight(name)) for name in voters]
        alone = self.vote == "any"
        return [
            combine([Ballot(*head, each) for head, each in zip(heads, row, strict=True)], alone=alone)
            for row in zip(*(judged[name] for name in voters), strict=True)
        ]

    def _weight(self, name: str) -> float:
        return 1.0 if isinstance(self.vote, str) else self.vote.get(name, 1.0)

    def _pupil(self) -> Method:
        return next(method for method in self.methods.values() if method.wants)

    def _note_learnt(self) -> None:
        methods = self.methods.values()
        ready = all(method.learnt for method in methods)
        if len(self.warmup) >= MOST_WARM and not ready:
            ready = any(method.learnt and not method.failures for method in methods)
            del self.warmup[: MOST_WARM // 4]
        if ready:
            self._learnt, self.warmup = True, []
            for method in methods:
                method.made()
