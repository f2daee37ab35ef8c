"""Questions: what a judgement has to ask of a forest, so that those of several assets can be asked at once.

What judges is written as a generator that yields its questions and is sent the answers. Whether they are answered one
by one or together, it comes to the same, to the last bit: a forest's score of a row depends on that row alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgemesh.detect.models.forest import Forest

    Floats = NDArray[np.float64]

_Result = TypeVar("_Result")


class Question(NamedTuple):
    """The scores of these rows (n x features) by this forest; the answer has one number per row."""

    forest: Forest
    rows: Floats


Steps = Generator[Question, "Floats", _Result]
"""A judgement in steps: yields questions, is sent answers, returns what it has come to."""


def answer(steps: Steps[_Result]) -> _Result:
    """Go through all steps, each question by itself, and return what it comes to."""
    try:
        question = next(steps)
        while True:
            question = steps.send(question.forest.score(question.rows))
    except StopIteration as end:
        result: _Result = end.value
        return result


def answer_together(judgements: Sequence[Steps[_Result]]) -> list[_Result]:
    """Go through the steps of several, a forest being asked once for all that ask it at the same time; in their order.

    Each is begun after those before it have come to their first question.
    """
    if len(judgements) == 1:
        return [answer(judgements[0])]
    results: dict[int, _Result] = {}
    asked: dict[int, Question] = {}
    for place, steps in enumerate(judgements):
        try:
            asked[place] = next(steps)
        except StopIteration as end:
            results[place] = end.value
    while asked:
        answers = _score(asked)
        for place in list(asked):
            try:
                asked[place] = judgements[place].send(answers[place])
            except StopIteration as end:
                results[place] = end.value
                del asked[place]
    return [results[place] for place in range(len(judgements))]


def _score(asked: dict[int, Question]) -> dict[int, Floats]:
    """The answers, with one call for each forest."""
    of_forest: dict[int, list[int]] = {}
    for place, question in asked.items():
        of_forest.setdefault(id(question.forest), []).append(place)
    answers: dict[int, Floats] = {}
    for places in of_forest.values():
        forest, rows = asked[places[0]]
        if len(places) == 1:
            answers[places[0]] = forest.score(rows)
            continue
        import numpy as np  # only where something is learnt

        scores = forest.score(np.concatenate([asked[place].rows for place in places]))
        begin = 0
        for place in places:
            end = begin + len(asked[place].rows)
            answers[place] = scores[begin:end]
            begin = end
    return answers
