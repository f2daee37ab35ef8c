"""Whether a time service holds the machine's clock: what the kernel knows of it."""

from __future__ import annotations

import ctypes
import functools

_TIMEX_BYTES = 512
"""More than `struct timex` has anywhere; its first field, `modes`, is 0: nothing is set."""
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)


@functools.cache
def _adjtimex() -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), "adjtimex", None)


def can_be_asked() -> bool:
    """Whether this system has a kernel that knows."""
    return _adjtimex() is not None


def is_synchronised() -> bool:
    """Whether NTP or another time service keeps the clock; False where nobody knows. Source: adjtimex(2)."""
    ask = _adjtimex()
    return ask is not None and 0 <= ask(ctypes.create_string_buffer(_TIMEX_BYTES)) < _UNSYNCHRONISED
