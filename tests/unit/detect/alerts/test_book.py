"""One fault, one alert."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgemesh.detect.alerts.book import Book
from edgemesh.detect.base.signals import Signal, source_name
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity


def signal(at: int, rule: str, firing: bool, severity: Severity = Severity.WARNING, onset: int = 0) -> Signal:
    return Signal(
        at, AlertKind.MACHINE, source_name(rule, "m", "d"), firing, onset_at_ns=onset, severity=severity,
        evidence=(Evidence(rule=rule, metric="m", device="d"),), cause=f"{rule} fires",
    )  # fmt: skip


def apply(book: Book, *signals: Signal) -> list[Alert]:
    made = [book.apply(signal, site="s", asset="a", gateway="g", origin=f"g/0/{i}") for i, signal in enumerate(signals)]
    return [alert for alert in made if alert is not None]


def test_further_rules_join_the_alert_that_stands() -> None:
    """Evidence and severity grow, the headline stays, and it is over when the last rule is."""
    raised, worse, cleared = apply(
        Book(),
        signal(10, "low", True, onset=5),
        signal(20, "very low", True, Severity.CRITICAL),
        signal(30, "low", False),
        signal(35, "low", True),
        signal(40, "very low", False),
        signal(50, "low", False),
    )
    assert (raised.version, worse.version, cleared.version) == (1, 2, 3)
    assert raised.id == worse.id == cleared.id
    assert (raised.onset_at_ns, raised.raised_at_ns, cleared.cleared_at_ns) == (5, 10, 50)
    assert worse.severity is Severity.CRITICAL
    assert [evidence.rule for evidence in worse.evidence] == ["low", "very low"]
    assert (cleared.state, cleared.cause, cleared.origin) == (AlertState.CLEARED, "low fires", "g/0/0")


def test_the_next_alert_is_another_one() -> None:
    """Even if it claims the onset of one that is over already."""
    first, _, second = apply(
        Book(), signal(10, "a", True, onset=5), signal(20, "a", False), signal(30, "b", True, onset=5)
    )
    assert first.id != second.id
    assert second.onset_at_ns == 21


@given(st.lists(st.tuples(st.integers(0, 100), st.sampled_from("abc"), st.booleans(), st.sampled_from(Severity))))
def test_an_alert_tells_a_story_in_order(moves: list[tuple[int, str, bool, Severity]]) -> None:
    """Ids never come back, versions rise by one, times never go back, severity never falls, cleared is the end."""
    stories: dict[str, list[Alert]] = {}
    for alert in apply(Book(), *[signal(at, rule, firing, severity, at) for at, rule, firing, severity in moves]):
        stories.setdefault(alert.id, []).append(alert)
    for story in stories.values():
        assert [alert.version for alert in story] == list(range(1, len(story) + 1))
        assert [alert.at_ns for alert in story] == sorted(alert.at_ns for alert in story)
        assert [alert.severity.rank for alert in story] == sorted(alert.severity.rank for alert in story)
        assert all(alert.state is not AlertState.CLEARED for alert in story[:-1])
        assert all(alert.onset_at_ns <= alert.raised_at_ns <= alert.at_ns for alert in story)
    assert sum(story[-1].state is not AlertState.CLEARED for story in stories.values()) <= 1
