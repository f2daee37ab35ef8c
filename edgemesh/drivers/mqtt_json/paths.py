"""Paths into a JSON document: `motor.phases[0].current`."""

from __future__ import annotations

import re
from collections.abc import Iterator

Step = str | int
Path = tuple[Step, ...]

WHOLE = "$"
_STEP = re.compile(r'(?:^|\.)(?:"([^"]+)"|([^.\[\]"]+))|\[([0-9]{1,6})\]')


class Missing:
    """What a document has where a path leads nowhere."""


MISSING = Missing()


def parse_path(text: str) -> Path:
    """The steps of a path: keys joined by dots, `[2]` for the third entry of a list, `$` for the document itself.

    A key with dots or brackets in it stands in double quotes. ValueError when the text is no path.

    >>> parse_path('motor.phases[0]."a.b"')
    ('motor', 'phases', 0, 'a.b')
    """
    if text == WHOLE:
        return ()
    steps: list[Step] = []
    end = 0
    while match := _STEP.match(text, end):
        quoted, key, index = match.groups()
        steps.append(int(index) if index is not None else quoted or key)
        end = match.end()
    if end != len(text) or not steps:
        raise ValueError(f"{text!r} is no path, write it like `motor.phases[0].current` (`$` is the document itself)")
    return tuple(steps)


def follow(document: object, path: Path) -> object:
    """What the document holds at the path, or MISSING."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(document, dict) or step not in document:
                return MISSING
            document = document[step]
        elif isinstance(document, list) and step < len(document):
            document = document[step]
        else:
            return MISSING
    return document


def leaves(document: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """All values of the document that are neither object nor list, with their paths, in order."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from leaves(value, (*path, index))
    else:
        yield path, document
