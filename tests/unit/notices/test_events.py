"""What is worth telling of orders and alerts, and what is put aside for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from edgemesh.model.alerts import AlertState, Severity
from edgemesh.model.orders import OrderState, Priority, WorkOrder
from edgemesh.model.settings import Seconds, Secret
from edgemesh.notices import intake as intakes
from edgemesh.notices.events import decode, encode, events_of_alert, events_of_order
from edgemesh.notices.settings import MailNotice, MqttNotice, WebhookNotice
from tests.unit.dispatch.plant import START, alert
from tests.unit.notices.stubs import Recorder, work_order

O = OrderState  # noqa: E741  the column of a table
Path_ = tuple[WorkOrder, ...]


def path(*versions: tuple[OrderState, dict[str, object]]) -> Path_:
    return tuple(work_order(0, number + 1, state, **more) for number, (state, more) in enumerate(versions))


def told(orders: Path_) -> list[list[str]]:
    return [
        [event.what for event in events_of_order("site", before, after)]
        for before, after in zip((None, *orders), orders, strict=False)
    ]


ANNA = {"executor": "anna", "attempt": 1, "deadline_at_ns": START + 10}


@pytest.mark.parametrize(
    ("orders", "whats"),
    [
        (path((O.OPEN, {}), (O.DISPATCHED, ANNA)), [["opened"], ["dispatched"]]),
        (path((O.OPEN, {"escalated": True}), (O.OPEN, {"escalated": True})), [["opened", "escalated"], []]),
        (
            path((O.OPEN, {}), (O.DISPATCHED, ANNA), (O.OPEN, {"at_ns": START + 10})),
            [["opened"], ["dispatched"], ["breached"]],
        ),
        (
            path((O.OPEN, {}), (O.DISPATCHED, ANNA), (O.OPEN, {"at_ns": START + 9})),
            [["opened"], ["dispatched"], []],
        ),
        (
            path((O.OPEN, {}), (O.DISPATCHED, ANNA), (O.DONE, ANNA), (O.OPEN, {"reopened": 1})),
            [["opened"], ["dispatched"], ["done"], ["reopened"]],
        ),
        (
            path((O.OPEN, {}), (O.DISPATCHED, ANNA), (O.ACCEPTED, ANNA), (O.DONE, ANNA), (O.VERIFIED, ANNA)),
            [["opened"], ["dispatched"], [], ["done"], ["verified"]],
        ),
        (path((O.OPEN, {}), (O.CANCELLED, {})), [["opened"], ["cancelled"]]),
        (
            path((O.DISPATCHED, ANNA), (O.OPEN, {}), (O.DISPATCHED, ANNA | {"attempt": 2})),
            [["opened", "dispatched"], [], ["dispatched"]],
        ),
    ],
)
def test_each_step_of_an_order_is_told_once(orders: Path_, whats: list[list[str]]) -> None:
    """By what changed from one version to the next; a deadline that passed is a breach, a refusal before it is none."""
    assert told(orders) == whats


def test_alerts_are_told_when_they_fire_get_worse_and_clear() -> None:
    """Pending ones and those that were over before anybody knew wake nobody."""
    first = alert(severity=Severity.WARNING)
    worse = alert(version=2)
    cleared = alert(version=3, state=AlertState.CLEARED)
    assert [event.what for event in events_of_alert("site", None, first)] == ["fired"]
    assert events_of_alert("site", first, msgspec.structs.replace(first, version=2)) == []
    assert [event.what for event in events_of_alert("site", first, worse)] == ["fired"]
    assert [event.what for event in events_of_alert("site", worse, cleared)] == ["cleared"]
    assert events_of_alert("site", None, alert(state=AlertState.PENDING)) == []
    assert events_of_alert("site", None, msgspec.structs.replace(first, past=True)) == []


def test_an_event_has_one_id_for_ever() -> None:
    """The same version gives the same id, another one another; and its bytes say all of it."""
    (event,) = events_of_order("site", None, work_order())
    (again,) = events_of_order("site", None, work_order())
    assert event.id == again.id
    assert event.id != events_of_order("other", None, work_order())[0].id
    assert decode(encode(event)) == event


# -- what is put aside ----------------------------------------------------------------------------------------------


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Recorder]]:
    made: list[Recorder] = []

    def build(*channels: intakes.Wish) -> Recorder:
        made.append(Recorder(tmp_path, *channels))
        return made[-1]

    yield build
    for recorder in made:
        recorder.close()


def hook(name: str = "hook", **more: object) -> WebhookNotice:
    return WebhookNotice(name=name, url="http://127.0.0.1/", **more)  # type: ignore[arg-type]


def test_each_channel_gets_what_it_wants(make: Callable[..., Recorder]) -> None:
    """By event, priority, severity and asset."""
    recorder = make(
        hook("all"),
        hook("urgent", priority=Priority.P1),
        hook("others", asset="X-*"),
        hook("alerts", on=("fired",), severity=Severity.CRITICAL),
    )
    recorder.take(work_order(1), alert(), alert(number=1, severity=Severity.WARNING))
    assert [channel for channel, _ in recorder.waiting()] == ["all", "alerts"]


def test_versions_that_come_again_tell_nothing(make: Callable[..., Recorder]) -> None:
    """The history may be read again; an order that goes on is compared with what it was, after a restart as well."""
    recorder = make(hook(on=("opened", "done")))
    first, done = work_order(), work_order(0, 3, O.DONE, executor="anna")
    recorder.take(first, first, work_order(0, 2, O.DISPATCHED, executor="anna"))
    recorder.close()
    recorder = make(hook(on=("opened", "done")))
    recorder.take(done, first, done)
    assert [decode(body).what for _, body in recorder.waiting()] == ["opened", "done"]


def test_what_was_taken_over_is_deleted(make: Callable[..., Recorder]) -> None:
    """And only that; a channel that is gone from the configuration leaves nothing behind."""
    recorder = make(hook("a"), hook("b"))
    recorder.take(work_order(1), work_order(2))
    recorder.moved.note("a", 3)
    recorder.keep_house()
    assert [channel for channel, _ in recorder.waiting()] == ["b", "b"]
    recorder.close()
    assert make(hook("a")).waiting() == []


def test_what_nobody_takes_gives_way_oldest_first(
    make: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a limit, counted; the history does not fill with it."""
    monkeypatch.setattr(intakes, "MOST_WAITING", 2)
    recorder = make(hook())
    recorder.take(*(work_order(number) for number in range(5)))
    recorder.keep_house()
    assert [decode(body).asset for _, body in recorder.waiting()] == ["P-3", "P-4"]
    with recorder.journal.begin() as transaction:
        assert transaction.connection.execute("SELECT * FROM notice_dropped").fetchall() == [("hook", 3)]


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: WebhookNotice(name="a", url="ftp://host/"), "must be an address"),
        (lambda: WebhookNotice(name="a", url="http://host/", key=Secret("whsec_!")), "base64"),
        (lambda: WebhookNotice(name="a", url="https://user:secret@host/"), "no password"),
        (lambda: WebhookNotice(name="a", url="http://host/", timeout=Seconds(0.0)), "timeout"),
        (lambda: MailNotice(name="a", host="h", sender="a", to=("b@c",)), "addresses"),
        (lambda: MailNotice(name="a", host="h", sender="a@b", to=("b@c\nBcc: d@e",)), "addresses"),
        (lambda: MailNotice(name="a", host="h", sender="a@b", to=("b@c",), tls="none", login="me"), "login"),
        (lambda: MqttNotice(name="a", topic="plant/+/notice"), "topic"),
        (lambda: MqttNotice(name="a", topic="edgemesh/v1/site/owners"), "topic"),
    ],
)
def test_what_can_not_be_told_is_refused_at_the_start(build: Callable[[], object], problem: str) -> None:
    """With the setting that is wrong."""
    with pytest.raises(ValueError, match=problem):
        build()
