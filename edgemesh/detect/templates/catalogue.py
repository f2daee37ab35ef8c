"""The catalogue: all templates by name."""

from __future__ import annotations

import difflib

from edgemesh.detect.templates import motor, plant, pump, rooms, vibration
from edgemesh.detect.templates.form import Template

TEMPLATES: dict[str, Template] = {
    template.name: template for room in (vibration, pump, motor, plant, rooms) for template in room.TEMPLATES
}


def find_template(name: str) -> Template:
    """The template of this name. ValueError names the nearest one.

    >>> find_template("pump-iso10816")
    Traceback (most recent call last):
    ValueError: there is no template 'pump-iso10816'; did you mean `pump-iso10816-7`? `edgemesh templates` lists them
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    raise ValueError(f"there is no template {name!r}{nearest(name, TEMPLATES)} `edgemesh templates` lists them")


def nearest(name: str, known: dict[str, Template] | list[str]) -> str:
    """Words that suggest the nearest of the known names."""
    begun = [each for each in known if name and each.startswith(name)]
    close = begun or difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"; did you mean `{close[0]}`?" if close else "."
