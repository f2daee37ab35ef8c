"""The courier, against a real server on loopback: outage, errors, a slow one, and a restart in the middle."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgemesh.log.journal import Journal
from edgemesh.model.orders import OrderState
from edgemesh.model.settings import Seconds, Secret
from edgemesh.notices.breaker import State
from edgemesh.notices.channel import Reply
from edgemesh.notices.courier import Courier
from edgemesh.notices.delivery import fates, standings
from edgemesh.notices.events import Event
from edgemesh.notices.settings import WebhookNotice
from edgemesh.notices.webhook import Webhook
from tests.unit.notices.stubs import Answer, HttpStub, Recorder, Time, closed_port, work_order


@pytest.fixture
def server() -> Iterator[HttpStub]:
    stub = HttpStub()
    yield stub
    stub.close()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What goes wrong is said in the log; here it goes wrong on purpose."""
    logger = logging.getLogger("edgemesh.notices.courier")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


class Desk:
    """A recorder's file and a courier of one webhook, with a clock of our own; `restart` builds the courier anew."""

    def __init__(self, folder: Path, url: str, **more: object) -> None:
        self.settings = WebhookNotice(name="hook", url=url, timeout=Seconds(60.0), key=Secret("k"), **more)  # type: ignore[arg-type]
        self.recorder = Recorder(folder, self.settings)
        self.file = folder / "notices.db"
        self.time = Time()
        self.courier = self._build()

    def _build(self) -> Courier:
        return Courier(
            "hook",
            lambda: Webhook(self.settings),
            self.recorder.file,
            self.file,
            self.recorder.moved,
            tries=self.settings.tries,
            clock=self.time,
            wall_ns=lambda: int(self.time.now_s * 1e9),
            chance=lambda: 0.0,
        )

    def restart(self) -> None:
        self.courier.close()
        self.courier = self._build()

    def steps(self, count: int) -> None:
        """So many steps, each as soon as it is due."""
        for _ in range(count):
            self.time.now_s += self.courier.step()

    def close(self) -> None:
        self.courier.close()
        self.recorder.close()


@pytest.fixture
def desk(tmp_path: Path, server: HttpStub) -> Iterator[Desk]:
    built = Desk(tmp_path, server.url)
    yield built
    built.close()


def assets(server: HttpStub) -> list[str]:
    return [msgspec.json.decode(request.body)["asset"] for request in server.requests]


def orders(count: int) -> list[str]:
    return [f"P-{number}" for number in range(count)]


def test_each_event_goes_out_once_in_order(desk: Desk, server: HttpStub) -> None:
    """With the id of the event as its key; what was sent is no longer in the recorder's file."""
    desk.recorder.take(*(work_order(number) for number in range(4)))
    desk.steps(8)
    assert assets(server) == orders(4)
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 4
    desk.recorder.keep_house()
    assert desk.recorder.waiting() == []
    assert [fate.state for fate in fates(desk.file)] == ["done"] * 4


def test_a_restart_in_the_middle_loses_and_doubles_nothing(desk: Desk, server: HttpStub) -> None:
    """Whether it comes before or after the recorder has let go of what was taken over."""
    desk.recorder.take(*(work_order(number) for number in range(6)))
    desk.steps(3)
    desk.restart()
    desk.steps(1)
    desk.recorder.keep_house()
    desk.restart()
    desk.steps(10)
    assert assets(server) == orders(6)


def test_a_crash_between_answer_and_note_shows_the_same_key_again(
    desk: Desk, server: HttpStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is the one place where HTTP lets a notice come twice; whoever keeps keys takes it once."""
    desk.recorder.take(work_order())

    def die(channel: Webhook, event: Event) -> Reply:
        original(channel, event)
        raise KeyboardInterrupt

    original = Webhook.send
    with monkeypatch.context() as patched:
        patched.setattr(Webhook, "send", die)
        with pytest.raises(KeyboardInterrupt):
            desk.courier.step()
    desk.restart()
    desk.steps(3)
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_an_outage_is_waited_for(tmp_path: Path) -> None:
    """Nobody listens: five tries, then one each 30 s; all goes out once somebody does."""
    with closed_port() as port:
        desk = Desk(tmp_path, f"http://127.0.0.1:{port}/")
        desk.recorder.take(*(work_order(number) for number in range(3)))
        began_s = desk.time.now_s
        while desk.courier.breaker.state(desk.time.now_s) is State.CLOSED:
            desk.steps(1)
            assert desk.time.now_s - began_s < 60.0
        assert desk.courier.breaker.failures == 5
        assert "can't be sent" in desk.courier.notice
        opened_s = desk.time.now_s
        while desk.courier.breaker.failures == 5:
            desk.steps(1)
            assert desk.time.now_s - opened_s < 60.0
        assert desk.time.now_s - opened_s >= 29.0
        assert desk.courier.step() >= 0.0
        assert standings(desk.file)[0].breaker == "open"
    stub = HttpStub()
    try:
        desk.settings = msgspec.structs.replace(desk.settings, url=stub.url)
        desk.restart()
        desk.steps(10)
        assert sorted(assets(stub)) == orders(3)
        assert desk.courier.notice == ""
        assert standings(desk.file)[0] == ("hook", "closed", "", 0, 3, 0)
    finally:
        stub.close()
        desk.close()


def test_errors_of_the_server_open_the_breaker(desk: Desk, server: HttpStub) -> None:
    """Five answers of 500; the sixth request comes no sooner than 30 s after the fifth, and is the only one."""
    server.script = [Answer(500)] * 6
    desk.recorder.take(*(work_order(number) for number in range(5)))
    desk.steps(5)
    at_s = desk.time.now_s
    assert len(server.requests) == 5
    while len(server.requests) < 6:
        desk.steps(1)
    assert desk.time.now_s - at_s >= 30.0
    while len(server.requests) < 7:
        desk.steps(1)
    assert desk.time.now_s - at_s >= 60.0
    desk.steps(10)
    assert sorted(set(assets(server))) == orders(5)


def test_being_asked_to_wait_holds_the_whole_channel(desk: Desk, server: HttpStub) -> None:
    """Also where nothing says for how long; and it is no failure."""
    server.script = [Answer(429)]
    desk.recorder.take(work_order(1), work_order(2))
    desk.courier.step()
    desk.courier.step()
    assert len(server.requests) == 1
    assert desk.courier.breaker.failures == 0
    desk.steps(5)
    assert assets(server) == ["P-1", "P-1", "P-2"]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept(desk: Desk, server: HttpStub, status: int) -> None:
    """Nothing goes out before; being asked to wait is no failure that opens the breaker, an error is one."""
    server.script = [Answer(status, headers={"Retry-After": "120"})]
    desk.recorder.take(work_order(1), work_order(2))
    desk.steps(1)
    began_s = desk.time.now_s
    while len(server.requests) == 1:
        desk.steps(1)
    assert desk.time.now_s - began_s >= 120.0
    assert desk.courier.breaker.failures == 0
    desk.steps(5)
    assert [fate.state for fate in fates(desk.file)] == ["done", "done"]


def test_what_is_refused_for_good_is_a_dead_letter(desk: Desk, server: HttpStub) -> None:
    """It is kept with the reason and holds up nobody."""
    server.script = [Answer(422, b"no such field\x1b[2J")]
    desk.recorder.take(work_order(0), work_order(1))
    desk.steps(4)
    assert assets(server) == orders(2)
    (dead,) = fates(desk.file, state="dead")
    assert dead.said == "422 Unprocessable Entity no such field [2J"


def test_an_event_that_always_fails_lets_the_others_pass(desk: Desk, server: HttpStub) -> None:
    """It comes again after its pause, and is given up after as many tries as are set."""
    desk.settings = msgspec.structs.replace(desk.settings, tries=3)
    desk.restart()

    def answer(request: object) -> Answer:
        return Answer(500 if b'"P-0"' in server.requests[-1].body else 200)

    server._answer = answer
    desk.recorder.take(*(work_order(number) for number in range(3)))
    desk.steps(12)
    assert assets(server)[:3] == orders(3)
    assert assets(server).count("P-0") == 3
    (dead,) = fates(desk.file, state="dead")
    assert dead.said.startswith("given up after 3 tries: 500")


def test_a_server_that_hangs_costs_its_time_out(desk: Desk, server: HttpStub) -> None:
    """And no more; the same notice goes out later, with the same key."""
    server.script = [Answer(hang=True)]
    patient = desk.settings
    desk.settings = msgspec.structs.replace(patient, timeout=Seconds(0.1))
    desk.restart()
    desk.recorder.take(work_order())
    desk.steps(1)
    assert "timed out" in desk.courier.notice.lower() or "timeout" in desk.courier.notice.lower()
    desk.settings = patient
    desk.restart()
    desk.steps(6)
    assert [fate.state for fate in fates(desk.file)] == ["done"]
    assert len({request.headers["webhook-id"] for request in server.requests}) == 1


def test_an_older_copy_of_the_recorders_file_tells_nothing_twice(desk: Desk, server: HttpStub) -> None:
    """It counts its rows anew; what is known by its id is not sent again."""
    desk.recorder.take(work_order(0))
    desk.steps(3)
    desk.recorder.journal.renew("put back")
    desk.recorder.take(work_order(1), work_order(0, 2, OrderState.CANCELLED))
    desk.steps(5)
    assert assets(server) == orders(2)


def test_a_file_that_is_no_database_is_said_and_waited_for(tmp_path: Path, server: HttpStub) -> None:
    """The courier goes on trying; it never raises."""
    desk = Desk(tmp_path, server.url)
    desk.file.write_text("no database, and longer than a header of SQLite: " + "x" * 200)
    desk.recorder.take(work_order())
    assert desk.courier.run_step() == 1.0
    assert "can't be kept" in desk.courier.notice
    desk.file.unlink()
    assert desk.courier.run_step() == 0.0
    assert desk.courier.notice == ""
    assert assets(server) == orders(1)
    desk.close()


def test_the_thread_sends_and_ends(desk: Desk, server: HttpStub) -> None:
    """As it runs in an agent's process."""
    desk.time = Time()
    courier = Courier(
        "hook", lambda: Webhook(desk.settings), desk.recorder.file, desk.file, desk.recorder.moved, every_s=0.01
    )
    desk.recorder.take(work_order())
    courier.start()
    try:
        for _ in range(2_000):
            if fates(desk.file, state="done") if desk.file.exists() and server.requests else False:
                break
            courier._stop.wait(0.01)
    finally:
        courier.stop()
    assert assets(server) == orders(1)
    assert courier._thread is not None
    assert not courier._thread.is_alive()


def test_journals_are_read_beside_their_writer(desk: Desk) -> None:
    """The recorder commits while the courier reads; neither waits for the other."""
    desk.recorder.take(work_order())
    with desk.recorder.journal.begin():
        desk.steps(2)
    assert isinstance(desk.recorder.journal, Journal)
    assert [fate.state for fate in fates(desk.file)] == ["done"]
