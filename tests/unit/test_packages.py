"""What a wheel holds."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_is_in_the_wheel() -> None:
    """A room that is not listed is missing for whoever installs a wheel, and for nobody who works in the repository."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = [str(made.parent.relative_to(ROOT)).replace("/", ".") for made in (ROOT / "edgemesh").rglob("__init__.py")]
    assert sorted(listed) == sorted([*rooms, "edgemesh.configs", "firmware_sim"])
