"""What can't be done of what a person asks for."""

from __future__ import annotations


class Refused(ValueError):
    """What was asked for can't be done; the text says why."""
