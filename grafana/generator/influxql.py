"""InfluxQL as text: few helpers, so that every query has its time filter and quotes its names.

`$timeFilter`, `$__interval` and `${name:regex}` are Grafana's; a variable with several values, or with All, becomes
a regular expression.
"""

from __future__ import annotations


def matches(tag: str, variable: str = "") -> str:
    """The condition that a tag has one of the values chosen for a variable (that of its own name, if left out)."""
    return f'"{tag}" =~ /^${{{variable or tag}:regex}}$/'


def select(what: str, measurement: str, *conditions: str, by: str = "", tail: str = "") -> str:
    """One statement over the chosen time; `by` are the grouping tags, `tail` what follows (order, limit)."""
    words = [f'SELECT {what} FROM "{measurement}" WHERE', " AND ".join(["$timeFilter", *conditions])]
    if by:
        words.append(f"GROUP BY {_names(by)}")
    return " ".join([*words, tail] if tail else words)


def series(what: str, measurement: str, *conditions: str, by: str = "", fill: str = "none") -> str:
    """The same in steps of `$__interval`, one series for each value of the tags `by`."""
    return f"{select(what, measurement, *conditions)} GROUP BY {_steps(by)} fill({fill})"


def total(what: str, inner: str, *, fill: str = "none") -> str:
    """`what` over the series of a statement, in steps of `$__interval`."""
    return f"SELECT {what} FROM ({inner}) WHERE $timeFilter GROUP BY {_steps('')} fill({fill})"


def rate(counter: str) -> str:
    """How fast a counter grows, per second; an agent that starts anew at 0 makes no negative rate."""
    return f'non_negative_derivative(max("{counter}"), 1s)'


def growth(counter: str) -> str:
    """By how much a counter grew in each step."""
    return f'non_negative_difference(max("{counter}"))'


def tag_values(tag: str, measurement: str, *conditions: str) -> str:
    """What a variable can be."""
    found = f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{tag}"'
    return f"{found} WHERE {' AND '.join(conditions)}" if conditions else found


def _names(by: str) -> str:
    return ", ".join(f'"{name}"' for name in by.split())


def _steps(by: str) -> str:
    return ", ".join(["time($__interval)", *([_names(by)] if by else [])])
