"""Who works in the hall, and the card by which an executor makes itself known."""

import json
import re
from dataclasses import dataclass

from firmware_sim import __version__

HEARTBEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the crew: an id for topics, and skills."""

    name: str
    skills: tuple[str, ...]


PEOPLE = (
    Person("ana", ("operator",)),
    Person("ben", ("fitter", "lubrication")),
    Person("cleo", ("electrician",)),
    Person("dai", ("instrument", "automation")),
    Person("eve", ("vibration", "alignment")),
)
"""The crew by default; together they mend every fault."""


def card(person: Person, incarnation: str, beat: int, load: int, state: str = "up") -> bytes:
    """The JSON of a person's card: `beat` counts up every heartbeat, `incarnation` is new with every start."""
    body = {
        "v": 1,
        "agent": person.name,
        "role": "executor",
        "state": state,
        "incarnation": incarnation,
        "beat": beat,
        "heartbeat_s": HEARTBEAT_S,
        "version": f"firmware-sim {__version__}",
        "skills": dict.fromkeys(person.skills, 1.0),
        "load": load,
        "max_load": 1,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def parse_person(text: str) -> Person:
    """A person from `name:skill+skill`. Raises ValueError."""
    name, _, skills = text.partition(":")
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) is None or not skills:
        message = f"expected name:skill+skill, not {text!r}"
        raise ValueError(message)
    return Person(name, tuple(skills.split("+")))
