"""Dicts as YAML for people: blocks, and scalars as JSON writes them, which YAML reads alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def dump(made: dict[str, Any], about: str) -> str:
    """A file that begins with the comment `about`."""
    return "\n".join([*(f"# {line}" for line in about.splitlines()), *_block(made, "")]) + "\n"


def _block(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _entry(f"{indent}{key}:", each, indent + "  ")
    else:
        for each in value:
            first, *rest = _block(each, indent + "  ") if _is_block(each) else [f"{indent}  {_scalar(each)}"]
            yield from [f"{indent}- {first[len(indent) + 2 :]}", *rest]


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if _is_block(value):
        yield head
        yield from _block(value, indent)
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_block(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)
