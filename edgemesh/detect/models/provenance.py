"""Provenance: how a model came about."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edgemesh.model.ids import Id


class Base(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model of a class that an asset's was made of: the class, its version, and the hash of its numbers."""

    name: Id
    version: Annotated[int, Meta(ge=1, lt=2**31)]
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class About(msgspec.Struct, omit_defaults=True):
    """How a model came about: `version` (0: none yet), from how many rows, of when, made by which libraries.

    `base`: of which model of a class, where it was not learnt from the asset's own rows alone.
    """

    version: int = 0
    rows: int = 0
    begin_ns: int = 0
    end_ns: int = 0
    learnt_at_ns: int = 0
    libraries: dict[str, str] = {}
    base: Base | None = None
