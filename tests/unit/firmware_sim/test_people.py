"""Cards are as documented, and people can be written on a command line."""

import json

import pytest

from firmware_sim import __version__
from firmware_sim.people import PEOPLE, Person, card, parse_person


def test_card() -> None:
    """Everything that a scheduler may ask about an executor."""
    assert json.loads(card(PEOPLE[0], "ab" * 16, 17, 0)) == {
        "v": 1,
        "agent": "ana",
        "role": "executor",
        "state": "up",
        "incarnation": "ab" * 16,
        "beat": 17,
        "heartbeat_s": 1.0,
        "version": f"firmware-sim {__version__}",
        "skills": {"operator": 1.0},
        "load": 0,
        "max_load": 1,
    }


def test_people_from_text() -> None:
    """name:skill+skill, and nothing else."""
    assert parse_person("zoe:fitter+alignment") == Person("zoe", ("fitter", "alignment"))
    for text in ("zoe", "zoe:", ":fitter", "z/e:fitter"):
        with pytest.raises(ValueError, match="name:skill"):
            parse_person(text)
