"""The examples in the docstrings of the floor."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import edgemesh.detect

MODULES = [module.name for module in pkgutil.walk_packages(edgemesh.detect.__path__, "edgemesh.detect.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_tell_the_truth(name: str) -> None:
    """What a docstring shows is what comes out."""
    if name.endswith(".half_space_trees"):
        pytest.importorskip("river", reason="half-space trees need river: pip install 'edgemesh[river]'")
    assert doctest.testmod(importlib.import_module(name)).failed == 0
