"""One suite over all ticket systems: never more than one ticket for an order, whatever becomes of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemesh.model.orders import OrderState
from edgemesh.model.settings import Seconds, Secret
from edgemesh.notices.channel import Reply, Verdict
from edgemesh.notices.events import Event, events_of_order
from edgemesh.notices.tickets.contract import TicketSystem
from edgemesh.notices.tickets.jira import Jira
from edgemesh.notices.tickets.keeper import TicketKeeper
from edgemesh.notices.tickets.register import Register, tickets
from edgemesh.notices.tickets.servicenow import ServiceNow
from edgemesh.notices.tickets.settings import JiraTicket, ServiceNowTicket
from tests.contract.ticket_stubs import LOGIN, PASSWORD, JiraStub, ServiceNowStub
from tests.unit.notices.stubs import Answer, Time, work_order

Stub = JiraStub | ServiceNowStub


def jira(url: str) -> TicketSystem:
    return Jira(
        JiraTicket(name="tickets", url=url, login=LOGIN, token=Secret(PASSWORD), project="PLANT", timeout=Seconds(60.0))
    )


def service_now(url: str) -> TicketSystem:
    return ServiceNow(
        ServiceNowTicket(name="tickets", url=url, login=LOGIN, password=Secret(PASSWORD), timeout=Seconds(60.0))
    )


class Office:
    """A keeper on its own register, with a clock of ours; `restart` builds it anew from the disk."""

    def __init__(self, stub: Stub, build: Callable[[str], TicketSystem], file: Path) -> None:
        self.stub, self.file, self.time = stub, file, Time()
        self._system = build(stub.url)
        self.keeper = self._build()

    def _build(self) -> TicketKeeper:
        register = Register(self.file, "tickets")
        return TicketKeeper(self._system, register, clock=self.time, wall_ns=lambda: int(self.time.now_s * 1e9))

    def restart(self) -> None:
        self.keeper.close()
        self.keeper = self._build()

    def send(self, event: Event) -> Reply:
        return self.keeper.send(event)

    def send_until_done(self, event: Event) -> int:
        """As the courier would; after how many tries it was done."""
        for tries in range(1, 10):
            reply = self.send(event)
            if reply.verdict is Verdict.DONE:
                return tries
            self.time.now_s += reply.wait_s or 1.0
        raise AssertionError("never done")


@pytest.fixture(params=[(JiraStub, jira), (ServiceNowStub, service_now)], ids=["jira", "servicenow"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    make_stub, build = request.param
    stub: Stub = make_stub()
    built = Office(stub, build, tmp_path / "notices.db")
    yield built
    built.keeper.close()
    stub.close()


def opened(number: int = 0) -> Event:
    return events_of_order("site", None, work_order(number))[0]


def verified(number: int = 0) -> Event:
    before = work_order(number, 4, OrderState.DONE)
    return events_of_order("site", before, work_order(number, 5, OrderState.VERIFIED))[0]


def test_an_order_gets_a_ticket_and_its_later_events_are_comments(office: Office) -> None:
    """All within the schema that the system documents; the ticket is in the register with its address."""
    assert office.send(opened()).verdict is Verdict.DONE
    assert office.send(verified()).verdict is Verdict.DONE
    assert len(office.stub.tickets) == 1
    assert [text for _, text in office.stub.comments] == ["P2 P-0: Look at the pump: verified"]
    (noted,) = tickets(office.file)
    assert noted.order == work_order().id
    assert noted.ticket.key == office.stub.tickets[0]["key"]
    assert noted.ticket.url.startswith(office.stub.url)


def test_the_same_event_again_makes_no_second_ticket(office: Office) -> None:
    """Nor after a restart; another order has its own."""
    office.send(opened())
    office.restart()
    office.send(opened())
    office.send(opened(1))
    assert len(office.stub.tickets) == 2


def test_a_ticket_whose_answer_was_lost_is_found_again(office: Office) -> None:
    """The outcome is unknown: it is looked for once the search must know of it, and taken."""
    office.stub.lose_next_answer = True
    assert office.send(opened()).verdict is Verdict.AGAIN
    waiting = office.send(opened())
    assert waiting.verdict is Verdict.LATER
    assert waiting.wait_s == 30.0
    office.send_until_done(opened())
    assert len(office.stub.tickets) == 1
    assert tickets(office.file)[0].ticket.key == office.stub.tickets[0]["key"]


def test_a_crash_after_the_ticket_was_made_makes_no_second(office: Office) -> None:
    """The register says on the disk that there may be one, before it is made."""
    office.stub.lose_next_answer = True
    office.send(opened())
    office.restart()
    assert office.send(opened()).verdict is Verdict.LATER
    office.send_until_done(opened())
    assert len(office.stub.tickets) == 1


def test_a_register_that_was_lost_finds_the_tickets_that_are_there(office: Office) -> None:
    """They carry the order's id."""
    office.send(opened())
    office.keeper.close()
    for file in office.file.parent.glob("notices.db*"):
        file.unlink()
    office.keeper = office._build()
    office.send_until_done(opened())
    assert len(office.stub.tickets) == 1


def test_a_ticket_that_was_not_made_after_all_is_made(office: Office) -> None:
    """An error of the server, and no ticket: after the same wait another try is made, and one only."""
    office.stub.script = []
    real = office.stub.reply
    failed: list[int] = []

    def fail_once(request: object) -> Answer:
        if getattr(request, "method", "") == "POST" and not failed:
            failed.append(1)
            return Answer(500)
        return real(request)  # type: ignore[arg-type]

    office.stub.reply = fail_once  # type: ignore[method-assign]
    assert office.send(opened()).verdict is Verdict.AGAIN
    assert office.send_until_done(opened()) == 2
    assert len(office.stub.tickets) == 1


def test_what_the_system_refuses_makes_no_ticket_and_no_doubt(office: Office) -> None:
    """It says so at once; the next event of the order begins anew."""
    real = office.stub.reply
    office.stub.reply = lambda request: Answer(400, b"{}") if request.method == "POST" else real(request)  # type: ignore[method-assign]
    assert office.send(opened()).verdict is Verdict.REFUSED
    assert tickets(office.file) == []
    office.stub.reply = real  # type: ignore[method-assign]
    assert office.send(opened()).verdict is Verdict.DONE


def test_an_order_that_is_over_opens_no_ticket(office: Office) -> None:
    """Where the first that is told of it is its end."""
    assert office.send(verified()).verdict is Verdict.DONE
    assert office.stub.tickets == []


def test_the_state_of_a_ticket_is_noted(office: Office) -> None:
    """From time to time while it is open; what is closed is not asked for again, and what is gone is said."""
    office.send(opened())
    office.stub.close_ticket()
    office.time.now_s += 300.0
    office.keeper.rest()
    (noted,) = tickets(office.file)
    assert noted.ticket.closed
    assert noted.ticket.state in ("Done", "Closed")
    asked = len(office.stub.requests)
    office.time.now_s += 3_000.0
    office.keeper.rest()
    assert len(office.stub.requests) == asked
    office.send(opened(1))
    office.stub.tickets.pop()
    office.time.now_s += 300.0
    office.keeper.rest()
    assert {each.ticket.state for each in tickets(office.file)} >= {"gone"}


def test_no_record_is_no_failure(tmp_path: Path) -> None:
    """Some releases of ServiceNow answer a search that finds nothing with 404; a table that is not there is another."""
    stub = ServiceNowStub()
    try:
        system = service_now(stub.url)
        said = '404 Not Found {"error": {"message": "No Record found"}}'
        stub.script = [Answer(404, b'{"error": {"message": "No Record found"}}'), Answer(404, b"no such page")]
        assert system.find(work_order().id) == (Reply(Verdict.DONE, said), None)
        assert system.find(work_order().id)[0].verdict is Verdict.AGAIN
    finally:
        stub.close()


def test_a_wrong_login_is_tried_again(office: Office) -> None:
    """Somebody will mend it; nothing is made meanwhile."""
    office._system._login = "Basic wrong"  # type: ignore[attr-defined]
    assert office.send(opened()).verdict is Verdict.AGAIN
    assert office.stub.tickets == []


def test_an_answer_in_another_form_is_not_believed(office: Office) -> None:
    """200 and a page of HTML, as a proxy says it: nobody knows what came of it."""
    office.stub.script = [Answer(200, b"<html>sign in</html>")]
    assert office.send(opened()).verdict is Verdict.AGAIN
