"""Texts with names in braces, like `{hall}-{device}`, that settings put together from what is known."""

from __future__ import annotations

import re
from collections.abc import Mapping

NAMED = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


def fill(template: str, names: Mapping[str, str]) -> str:
    """The template with each `{name}` replaced."""
    return NAMED.sub(lambda match: names[match[1]], template)


def check_template(setting: str, template: str, known: set[str]) -> None:
    """ValueError when the template has braces that are no `{name}`, or names what is not known."""
    for name in NAMED.findall(template):
        if name not in known:
            raise ValueError(f"`{setting}` uses {{{name}}}, known here: {', '.join(sorted(known)) or 'none'}")
    if set(NAMED.sub("", template)) & set("{}"):
        raise ValueError(f"`{setting}` has a brace that belongs to no `{{name}}`: {template!r}")
