"""The health of gateways: one alert for one episode, from their cards."""

from __future__ import annotations

from edgemesh.detect.alerts.health import CALM_NS, GRACE_NS, Health
from edgemesh.detect.base.moment import Moment
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState

S = 10**9


def moment(second: float) -> Moment:
    return Moment(10**18 + int(second * S), int(second * S))


def card(lost: int = 0, trouble: str = "", gateway: str = "gw") -> Card:
    return Card(agent=gateway, role=Role.GATEWAY, state=Presence.UP, incarnation="i", trouble=trouble, lost=lost)


def health(first: int = 0) -> Health:
    made = Health("site")
    assert made.see(card(first), moment(-10)) == []
    return made


def test_an_episode_is_one_alert() -> None:
    """Trouble that comes and goes and losses that grow are one alert, which ends once all was well for a while."""
    mine, found = health(), []
    for second in range(1, 60):
        found += mine.see(card(10 * second, "the log is full" if second % 3 else ""), moment(second))
        found += mine.tick(moment(second))
    assert [(alert.asset, alert.kind, alert.state) for alert in found] == [("gw", AlertKind.GATEWAY, AlertState.FIRING)]
    assert found[0].cause == "gw: the log is full"
    assert mine.see(card(600), moment(60)) == []
    assert mine.tick(moment(60 + CALM_NS / S)) == []
    (over,) = mine.tick(moment(61 + CALM_NS / S))
    assert (over.id, over.version, over.state) == (found[0].id, 2, AlertState.CLEARED)
    assert over.evidence[0].value == 600.0
    assert "600 readings" in over.cause
    assert mine.alerts == []


def test_a_loss_that_was_over_before_it_was_heard_of_is_an_alert() -> None:
    """That more is gone than the card before said is enough, whatever stands on this one."""
    mine = health(7)
    assert mine.see(card(7), moment(1)) == []
    (alert,) = mine.see(card(9), moment(2))
    assert "2 readings" in alert.cause
    assert alert.evidence[0].value == 2.0


def test_what_was_lost_before_we_came_is_no_news() -> None:
    """The first card of a gateway tells where to count from, unless it tells of trouble; a new file counts from 0."""
    mine = health(1_000)
    assert mine.see(card(0), moment(1)) == []
    assert len(mine.see(card(1), moment(2))) == 1
    new = Health("site")
    assert new.see(card(5, "can't keep what comes in"), moment(0)) == []
    assert len(new.tick(moment(GRACE_NS / S))) == 1


def test_a_restarted_detector_goes_on() -> None:
    """What was open goes on with its id, and what happened meanwhile is noticed."""
    mine = health()
    (alert,) = mine.see(card(5), moment(1))
    mine.see(card(3, gateway="other"), moment(1))
    again = Health("site")
    parts = mine.save()
    again.load({name: part for name, part in parts.items() if part is not None})
    assert again.see(card(5), moment(5)) == []
    (over,) = again.tick(moment(20))
    assert (over.id, over.version) == (alert.id, 2)
    assert len(again.see(card(4, gateway="other"), moment(21))) == 1
    assert set(mine.save()) == set()


def test_it_is_handed_over_with_its_gateway() -> None:
    """The next owner goes on with the alert and clears it; the echo of one that is over opens nothing."""
    mine, other = health(), Health("site")
    (alert,) = mine.see(card(5), moment(1))
    assert mine.release("gw", moment(1)) == [alert]
    assert mine.save() == {"health/gw": None}
    machine = Alert(
        id="0" * 32, version=1, asset="gw", kind=AlertKind.MACHINE, state=AlertState.FIRING, severity=alert.severity,
        cause="", evidence=(), onset_at_ns=1, raised_at_ns=1, at_ns=1, gateway="gw",
    )  # fmt: skip
    assert other.adopt("gw", [alert, machine], moment(2)) == [machine]
    assert other.alerts == [alert]
    assert other.see(card(5), moment(3)) == []
    (over,) = other.tick(moment(20))
    assert (over.id, over.version, over.cause) == (alert.id, 2, alert.cause)
    assert other.adopt("gw", [alert], moment(21)) == []
    assert other.alerts == []


def test_a_gateway_that_was_anothers_for_a_moment() -> None:
    """Given back before anybody has told us of our own alert, it goes on; given back later, only if it still stands."""
    mine = health()
    (alert,) = mine.see(card(5), moment(1))
    mine.release("gw", moment(2))
    mine.release("gw", moment(2))
    assert mine.adopt("gw", [], moment(2.1)) == []
    assert mine.alerts == [alert]
    mine.release("gw", moment(3))
    assert mine.adopt("gw", [], moment(3 + CALM_NS / S)) == []
    assert mine.alerts == []


def test_what_the_owner_before_has_said_is_not_said_again() -> None:
    """A newcomer waits a little for an alert that stands; one that comes too late is over at once."""
    alert = health().see(card(5, "the log is full"), moment(1))[0]
    mine = Health("site")
    assert mine.see(card(5, "the log is full"), moment(1)) == []
    assert mine.adopt("gw", [alert], moment(1.5)) == []
    assert mine.tick(moment(10)) == []
    assert mine.alerts == [alert]
    late = Health("site")
    late.see(card(5, "the log is full"), moment(1))
    (own,) = late.tick(moment(5))
    assert late.adopt("gw", [alert], moment(6)) == []
    (double,) = late.tick(moment(6))
    assert (double.id, double.version, double.state) == (alert.id, 2, AlertState.CLEARED)
    assert late.alerts == [own]
    assert late.adopt("gw", [own], moment(7)) == []
    assert late.tick(moment(7)) == []
