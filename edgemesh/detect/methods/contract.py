"""Methods: the contract of what a learner holds for its asset. It learns from rows, judges them, and can be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from edgemesh.detect.methods.judgement import Judgement
from edgemesh.detect.methods.lessons import Lesson, Result
from edgemesh.detect.models.profile import Profile


class Method(ABC):
    """One way to judge the rows of an asset. What it says of a row never depends on later rows, nor on block sizes.

    A method whose `wants` is never true learns in `take`; one without a `warmup` has no rows to keep until then.
    """

    name: str
    """What configurations and saved states call it."""
    takes_models: ClassVar[bool] = False
    """Whether it can go over to a model from a file."""
    warmup: Sequence[list[float]] = ()
    """The rows taken so far that were not learnt from yet (NaN: unknown), entries in the order of the caller."""
    refused: int = 0
    """How many times a whole warm-up held nothing to learn from."""
    profile: Profile | None = None
    """What it has learnt, where that can be a model of its own."""
    failures: int = 0
    """How many detectors in it do not judge any more: of one that stands alone, 1."""

    @property
    @abstractmethod
    def learnt(self) -> bool:
        """Whether it judges: from then on no channel can join."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Its name, and what tells what was learnt from anything else; stands in alerts."""

    @abstractmethod
    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows; those of the warm-up as `NOT_YET`, the very one.

        Fewer judgements than rows: the rest is to come again once it has learnt. ValueError: a row has another width.
        """

    @property
    def room(self) -> int | None:
        """How many rows it takes at once at most before something of it may change; None: any number."""
        return None

    def skip(self) -> None:
        """Rows are missing: what is only suspected is forgotten."""
        return

    def ease(self, factor: float) -> None:
        """Have limits lie so many times as far out (1 and more) from the next row on.

        A method that does not know what its limits are ignores it.
        """
        return

    def acknowledge(self) -> None:
        """A person has seen what is wrong: what comes next gets no benefit of the doubt."""
        return

    @property
    def wants(self) -> bool:
        """Whether something is to be learnt before the next row can be judged."""
        return False

    def lesson(self) -> Lesson:
        """What is to be learnt; to be asked only while it `wants`."""
        raise ValueError(f"{self.name} has no lessons")

    def learn(self, result: Result) -> None:
        """Go on with what was learnt from the `lesson`. ValueError: it is not sound, or of something else."""
        raise ValueError("what was learnt is of another kind of scorer")

    def made(self) -> tuple[int, dict[str, str]] | None:
        """From how many rows the model was learnt, and by which libraries, told once; None: nothing is known of it."""
        return None

    def warm(self, rows: Sequence[Sequence[float]]) -> None:
        """Begin with these rows of a warm-up, of which nothing is to be said any more."""
        self.take(rows)

    @abstractmethod
    def capture(self) -> bytes:
        """All that moves, once it has learnt, for a `twin`."""

    @abstractmethod
    def twin(self, moving: bytes) -> Method:
        """Another one that judges by the same model and goes on from what was captured. ValueError: of another one."""

    @abstractmethod
    def parts(self) -> dict[str, bytes | None]:
        """The parts that changed since the last call; None: gone. `moving` and others; none before it has learnt.

        The warm-up and the `profile` (part `model`) are saved by who holds the method.
        """

    @abstractmethod
    def save_anew(self) -> None:
        """Have `parts` give all that there are again: they are to be kept in another place, where nothing is."""

    @abstractmethod
    def resume(self, parts: Mapping[str, bytes], number: int) -> None:
        """Go on from all parts that were saved, `moving` among them. `number`: the version of the profile.

        ValueError: they do not fit together.
        """
