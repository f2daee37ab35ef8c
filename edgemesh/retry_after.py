"""The header `Retry-After`: for how long a server wants to be left alone. Pure."""

from __future__ import annotations

MAX_WAIT_S = 3_600.0


def retry_after_s(text: str, now_s: float) -> float | None:
    """Seconds of a Retry-After (RFC 9110, 10.2.3): a number, or a date; 0 to MAX_WAIT_S. None: it says nothing.

    `now_s` is the time (UTC, s), for a date.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_WAIT_S)
    import email.utils  # only here, for it brings a good deal with it

    try:
        return min(max(email.utils.parsedate_to_datetime(text).timestamp() - now_s, 0.0), MAX_WAIT_S)
    except (ValueError, TypeError, OverflowError):
        return None
