"""What settings of rules and of models name things by."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Glob = Annotated[str, Meta(min_length=1, max_length=64)]
"""A shell pattern (`*`, `?`, `[ab]`) of names."""
Name = Annotated[str, Meta(max_length=64)]
