"""What is installed is what is here."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_of_ours_is_named_for_the_wheel() -> None:
    """One that is not would be missing wherever edgemesh is installed, and here nobody would notice."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    here = {".".join(each.parent.relative_to(ROOT).parts) for each in (ROOT / "edgemesh").rglob("__init__.py")}
    assert here - set(named) == set()
    assert {each for each in named if each.startswith("edgemesh")} - here == {"edgemesh.configs"}
