"""The registry's core: every gateway has one live detector, and few change when a detector does."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.agents.registry import RegistryCore
from edgemesh.errors import LogDamaged
from edgemesh.model.agents import Card, Owners, Role
from edgemesh.model.packs import Cards
from edgemesh.model.samples import Record
from tests.unit.dispatch.plant import START, card

GATEWAYS = [f"gw-{k}" for k in range(60)]
CARDS = st.builds(
    card,
    st.sampled_from(["a", "b", "c"]),
    up=st.booleans(),
    incarnation=st.sampled_from(["i1", "i2"]),
    role=st.sampled_from([Role.DETECTOR, Role.GATEWAY, Role.EXECUTOR]),
)


def detector(name: str, *, up: bool = True) -> Card:
    return card(name, up=up, role=Role.DETECTOR)


def gateway(name: str, *, up: bool = True) -> Card:
    return card(name, up=up, role=Role.GATEWAY)


def owners(records: Sequence[Record]) -> Owners:
    [record] = records
    assert isinstance(record, Owners)
    return record


def registry(*cards: Card) -> RegistryCore:
    core = RegistryCore("registry", "test")
    core.handle(Cards(cards))
    return core


def test_each_gateway_has_one_live_detector() -> None:
    """A map of all gateways is made once somebody can own them; each change is the next epoch."""
    core = RegistryCore("registry", "test")
    assert core.present(None) == {}
    assert core.handle(Cards(tuple(gateway(name) for name in GATEWAYS))) == []
    first = owners(core.handle(Cards((detector("d1"),))))
    assert (first.epoch, first.owners) == (1, dict.fromkeys(GATEWAYS, "d1"))
    second = owners(core.handle(Cards((detector("d2"),))))
    assert second.epoch == 2
    assert set(second.owners.values()) == {"d1", "d2"}
    assert core.present([first, second]) == core.present(None) == {"owners": second}
    assert core.present([]) == {}


def test_only_the_share_of_who_comes_or_goes_moves() -> None:
    """With three detectors, the death of one moves its gateways, and its return brings back the very map."""
    core = registry(*(gateway(name) for name in GATEWAYS), *(detector(name) for name in ("d1", "d2")))
    three = owners(core.handle(Cards((detector("d3"),)))).owners
    two = owners(core.handle(Cards((detector("d3", up=False),)))).owners
    assert {name for name in GATEWAYS if two[name] != three[name]} == {n for n in GATEWAYS if three[n] == "d3"}
    assert owners(core.handle(Cards((detector("d3"),)))).owners == three


def test_a_gateway_that_is_down_keeps_its_owner() -> None:
    """Its log is still to be read when it returns."""
    core = registry(gateway("gw-1"), detector("d1"))
    assert core.handle(Cards((gateway("gw-1", up=False),))) == []
    assert core.present(None) == {"owners": Owners(epoch=1, owners={"gw-1": "d1"})}


def test_with_no_live_detector_the_last_map_stands() -> None:
    """Nobody else could do it, and whoever comes back first takes all."""
    core = registry(gateway("gw-1"), detector("d1"))
    assert core.handle(Cards((detector("d1", up=False),))) == []
    assert core.handle(Cards((gateway("gw-2"),))) == []
    assert core.present(None) == {"owners": Owners(epoch=1, owners={"gw-1": "d1"})}
    back = owners(core.handle(Cards((detector("d2"),))))
    assert back == Owners(epoch=2, owners={"gw-1": "d2", "gw-2": "d2"})


@given(st.lists(st.lists(CARDS, max_size=3), max_size=20), st.integers(0, 20))
def test_laws(groups: list[list[Card]], restart: int) -> None:
    """Twice is once, epochs rise by one, owners are live, and a restart anywhere changes nothing."""
    core, parts, log = RegistryCore("registry", "test"), dict[str, bytes](), list[Record]()
    live: set[str] = set()
    for number, cards in enumerate(groups):
        for one in cards:
            if one.role is Role.DETECTOR:
                (live.add if one.state.value == "up" else live.discard)(one.agent)
        records = core.handle(Cards(tuple(cards)))
        assert core.tick(START + number) == core.handle(Cards(tuple(cards))) == []
        for record in records:
            assert isinstance(record, Owners)
            assert record.epoch == len(log) + 1
            assert set(record.owners.values()) <= live
            log.append(record)
        parts |= {key: part for key, part in core.save().items() if part is not None}
        if number == restart:
            core = RegistryCore("registry", "test")
            core.load(parts)
    other = RegistryCore("registry", "test")
    assert [record for cards in groups for record in other.handle(Cards(tuple(cards)))] == log


def test_a_damaged_part_is_refused() -> None:
    """Bytes that were never saved are no map."""
    with pytest.raises(LogDamaged):
        RegistryCore("registry", "test").load({"owners": b"{}"})


def test_epochs_begin_above_the_start_and_only_grow() -> None:
    """A registry that lost its files is still believed, and one whose clock was set back goes on from its own."""
    core = RegistryCore("registry", "test", epoch=1_000)
    first = owners(core.handle(Cards((gateway("gw-1"), detector("d1")))))
    assert first.epoch == 1_001
    late = RegistryCore("registry", "test", epoch=5)
    late.load({name: part for name, part in core.save().items() if part is not None})
    assert owners(late.handle(Cards((detector("d2"), detector("d1", up=False))))).epoch == 1_002


def test_a_recorder_in_trouble_is_given_to_a_detector() -> None:
    """Somebody has to raise the alert of a recorder that can't do its work; one that is well is given to nobody."""
    recorder = card("recorder", role=Role.RECORDER)
    core = registry(gateway("gw"), detector("d1"), recorder)
    assert core._state.owners.owners == {"gw": "d1"}
    said = core.handle(Cards((msgspec.structs.replace(recorder, trouble="InfluxDB takes nothing"),)))
    assert owners(said).owners == {"gw": "d1", "recorder": "d1"}
    assert core.handle(Cards((recorder,))) == [], "it stays there, so that the alert's end is seen"
