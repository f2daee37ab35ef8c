"""How long to wait before a server that can't take something now is asked again. Pure."""

from __future__ import annotations

from collections.abc import Callable

from edgemesh.retry_after import retry_after_s

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0


def wait_s(retry_after: str, failures: int, chance: Callable[[], float], now_s: float) -> float:
    """How long to wait before the same is sent again, after so many failures in a row (at least 1).

    What the server asks for (the header `Retry-After`, in seconds or as a date; `now_s` is UTC), up to an hour; where
    that is empty or can't be read twice as long each time, from 1 s up to a minute. `chance` (0 to 1) spreads that, so
    that many clients do not come at once.
    """
    asked_s = retry_after_s(retry_after, now_s)
    if asked_s is not None:
        return asked_s + chance()
    longest_s = min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 10), LONGEST_WAIT_S)
    return longest_s * (0.5 + 0.5 * chance())
