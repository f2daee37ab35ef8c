"""Every input that fuzzing has found worth keeping, through its target: only what is documented comes out."""

from __future__ import annotations

import pytest

from edgemesh.prove.hostile import BYTES, NUMBERS, Case
from tests.fuzz.run import CORPUS
from tests.fuzz.targets import TARGETS

LARGEST = 8_192


def test_every_target_has_a_corpus() -> None:
    """A folder for each target and no other, with small files in it."""
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    for folder in CORPUS.iterdir():
        files = list(folder.iterdir())
        assert files, folder.name
        assert max(file.stat().st_size for file in files) <= LARGEST, folder.name


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus(name: str) -> None:
    """Each kept input is taken, or refused with the error that is documented."""
    for file in sorted((CORPUS / name).iterdir()):
        TARGETS[name](file.read_bytes())


@pytest.mark.parametrize("case", [*BYTES, *NUMBERS], ids=lambda case: case.name)
def test_hostile_bytes(case: Case) -> None:
    """What is wrong on every topic does no harm anywhere else either."""
    for target in TARGETS.values():
        target(case.payload)
