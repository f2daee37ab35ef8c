"""How long a client waits before it tries to link again. Pure: chance comes from the caller."""

from __future__ import annotations

FIRST_S = 0.05
LONGEST_S = 1.0
STEADY_S = 5.0
"""A link that lasted this long was a good one."""
CONTESTED_S = 30.0
CONTESTED_LINKS = 8
"""So many short links in a row, each given at the first attempt, are contested; one that another client took, and the
broker said so, counts twice. A broker that died refuses the first attempt, which comes within FIRST_S."""


class BackOff:
    """The pauses of one client between its attempts.

    A pause is anything from nothing to a bound (full jitter), so that a thousand clients that lost the same broker come
    back spread. The bound doubles from FIRST_S, after each link, to `longest_s`.

    Where a broker gives a link at once and ends it soon, again and again, trying fast helps nobody: another client has
    the same id and the two push each other out, or the broker can't bear what we say. Such a link is `contested`: the
    bound doubles on to CONTESTED_S, the pause is at least half of it, and only a link of twice that ends it.
    """

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self._longest_s = longest_s
        self._bound_s = FIRST_S
        self._short_links = 0

    @property
    def contested(self) -> bool:
        """Whether our links keep being taken away."""
        return self._short_links >= CONTESTED_LINKS

    def failed(self) -> None:
        """An attempt gave no link."""
        if not self.contested:
            self._short_links = 0

    def ended(self, lasted_s: float, *, taken_over: bool) -> bool:
        """A link has ended, because another client took it or whatever else; True when this makes it contested."""
        before = self.contested
        if lasted_s >= (2 * CONTESTED_S if before else STEADY_S):
            self._short_links = 0
        if lasted_s < STEADY_S or taken_over:
            self._short_links += 2 if taken_over else 1
        if not (before and self.contested):
            self._bound_s = FIRST_S
        return self.contested and not before

    def pause_s(self, chance: float) -> float:
        """The next pause; `chance` is uniform from 0 to 1."""
        bound_s = self._bound_s
        self._bound_s = min(2 * bound_s, CONTESTED_S if self.contested else self._longest_s)
        return bound_s * (0.5 + chance / 2 if self.contested else chance)
