"""Patterns of topics with named levels, like `hall/{device}/telemetry`, and rules that rename devices into assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgemesh.drivers.templates import NAMED

ANY = "_"


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """A pattern as the broker understands it (`subscription`), and which level has which name."""

    subscription: str
    names: tuple[tuple[int, str], ...]

    def read(self, topic: str) -> dict[str, str]:
        """The named levels of a topic that fits the pattern."""
        levels = topic.split("/")
        return {name: levels[index] for index, name in self.names if index < len(levels)}


def parse_topic(text: str) -> TopicPattern:
    """Read a pattern; ValueError says what is wrong with it."""
    if not text or len(text) > 512:
        raise ValueError("`topic` must have 1 to 512 characters, like `hall/{device}/telemetry`")
    if "\0" in text:
        raise ValueError("`topic` has a NUL character in it")
    levels = text.split("/")
    subscription: list[str] = []
    names: list[tuple[int, str]] = []
    for index, level in enumerate(levels):
        match = NAMED.fullmatch(level)
        if match:
            subscription.append("+")
            if match[1] != ANY:
                names.append((index, match[1]))
        elif level == "#" and index == len(levels) - 1:
            subscription.append(level)
        elif set(level) & set("+#{}"):
            raise ValueError(
                f"`topic` can't have the level {level!r}: a level is plain text, `{{name}}` (lower case) or `{{_}}` "
                "for any, and `#` may be the last one"
            )
        else:
            subscription.append(level)
    twice = {name for _, name in names if sum(name == other for _, other in names) > 1}
    if twice:
        raise ValueError(f"`topic` has two levels named {twice.pop()!r}")
    return TopicPattern("/".join(subscription), tuple(names))


def rename(name: str, rules: Mapping[str, str]) -> str | None:
    """What the first rule that fits makes of the name, or None; a rule without `*` goes before all that have one.

    `*` in a rule stands for any text, also none, and in its result for that same text.

    >>> rename("motor-7", {"motor-*": "pump-*"})
    'pump-7'
    """
    if name in rules and "*" not in name:
        return rules[name]
    for rule, result in rules.items():
        head, star, tail = rule.partition("*")
        fits = star and name.startswith(head) and name.endswith(tail) and len(name) >= len(head) + len(tail)
        if fits:
            return result.replace("*", name[len(head) : len(name) - len(tail)])
    return None
