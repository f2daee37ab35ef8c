"""The steady scenario is a seeded plan that never strikes the sick."""

from firmware_sim.faults import FAULTS
from firmware_sim.hall import Hall
from firmware_sim.scenario import DECK, OPENING, Injection, Scenario


def play(seed: int, seconds: int, healthy: tuple[str, ...]) -> list[tuple[int, Injection]]:
    scenario = Scenario(seed)
    due = ((second, scenario.due(second, healthy)) for second in range(seconds))
    return [(second, injection) for second, injection in due if injection is not None]


def test_times_and_first_fault() -> None:
    """The first after 15 s, unmistakable and on a pump; then one every 20 s."""
    played = play(7, 100, Hall(7).assets)
    assert [second for second, _ in played] == [15, 35, 55, 75, 95]
    assert played[0][1].fault == OPENING
    assert played[0][1].asset.startswith("pump-")


def test_every_fault_of_the_deck_comes_before_any_comes_again() -> None:
    """A demo shows the whole variety."""
    played = [injection.fault for _, injection in play(3, 15 + 20 * 12, Hall(3).assets)]
    assert sorted(played[1:]) == sorted(DECK)[: len(played) - 1] or set(played[1:]) <= set(DECK)
    assert len(set(played[1:])) == len(played) - 1


def test_seeds_differ() -> None:
    """Same seed, same plan; another seed, another plan."""
    assert play(1, 300, Hall(1).assets) == play(1, 300, Hall(1).assets)
    assert play(1, 300, Hall(1).assets) != play(2, 300, Hall(2).assets)


def test_waits_for_a_healthy_asset() -> None:
    """While nobody is healthy nothing is injected, and nothing piles up."""
    scenario = Scenario(7)
    assert scenario.due(20.0, ()) is None
    assert scenario.due(90.0, ("tank-1",)) is None
    assert scenario.due(91.0, ("pump-101",)) is not None
    assert scenario.due(91.5, ("pump-102", "pump-103")) is not None
    assert scenario.due(92.0, ("pump-102", "pump-103")) is None


def test_targets_can_have_the_fault() -> None:
    """What is due can be injected into the hall."""
    hall, scenario = Hall(5), Scenario(5, 1.0, 1.0)
    for second in range(40):
        injection = scenario.due(float(second), hall.assets)
        if injection is not None:
            hall.inject(injection.fault, injection.asset)
            assert FAULTS[injection.fault].target != "tank" or injection.asset.startswith("tank-")
