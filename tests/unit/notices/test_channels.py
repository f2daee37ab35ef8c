"""The ways out: webhook with its signature, Alertmanager's form, e-mail and MQTT, against servers on loopback."""

from __future__ import annotations

import base64
import email
import hashlib
import hmac
from collections.abc import Iterator

import msgspec
import pytest

from edgemesh.model.alerts import AlertState
from edgemesh.model.orders import OrderState
from edgemesh.model.settings import Seconds, Secret
from edgemesh.notices.channel import Verdict
from edgemesh.notices.events import Event, decode, events_of_alert, events_of_order
from edgemesh.notices.http import Answer as Heard
from edgemesh.notices.http import judge
from edgemesh.notices.mail import Mail
from edgemesh.notices.mqtt import MqttChannel
from edgemesh.notices.settings import MailNotice, MqttNotice, WebhookNotice, key_of
from edgemesh.notices.webhook import Webhook, sign
from edgemesh.retry_after import retry_after_s
from tests.unit.dispatch.plant import alert
from tests.unit.notices.stubs import Answer, HttpStub, MailStub, closed_port, work_order


@pytest.fixture
def server() -> Iterator[HttpStub]:
    stub = HttpStub()
    yield stub
    stub.close()


@pytest.fixture
def post() -> Iterator[MailStub]:
    stub = MailStub()
    yield stub
    stub.close()


def opened() -> Event:
    return events_of_order("site", None, work_order())[0]


def test_a_webhook_is_signed_as_the_specification_has_it(server: HttpStub) -> None:
    """HMAC-SHA256 over id, time and body; whoever has the key can check it, and another key or body does not fit."""
    hook = Webhook(WebhookNotice(name="a", url=server.url, key=Secret("shared"), token=Secret("t")), wall=lambda: 17.9)
    assert hook.send(opened()).verdict is Verdict.DONE
    (request,) = server.requests
    assert decode(request.body) == opened()
    assert request.headers["webhook-timestamp"] == "17"
    assert request.headers["authorization"] == "Bearer t"
    signed = f"{opened().id}.17.".encode() + request.body
    expected = base64.b64encode(hmac.digest(b"shared", signed, hashlib.sha256)).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_of_the_specifications_own_example() -> None:
    """Its key, id, time and body, as its libraries test themselves with."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    with pytest.raises(ValueError, match="base64"):
        key_of("whsec_!")


def test_without_a_key_nothing_is_signed(server: HttpStub) -> None:
    """No header pretends to be a signature."""
    Webhook(WebhookNotice(name="a", url=server.url)).send(opened())
    assert not {"webhook-signature", "authorization"} & set(server.requests[0].headers)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DONE), (204, Verdict.DONE), (301, Verdict.AGAIN), (400, Verdict.REFUSED), (401, Verdict.AGAIN),
        (404, Verdict.AGAIN), (408, Verdict.AGAIN), (413, Verdict.REFUSED), (422, Verdict.REFUSED),
        (425, Verdict.LATER), (429, Verdict.LATER), (500, Verdict.AGAIN), (503, Verdict.AGAIN), (0, Verdict.AGAIN),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, verdict: Verdict) -> None:
    """What somebody can mend on either side is tried again; what will always be refused is not."""
    assert judge(Heard(status, "text"), 0.0).verdict is verdict


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120.0), (" 7 ", 7.0), ("99999999999", 3600.0), ("", None), ("soon", None), ("-1", None), ("²", None),
     ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0), ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0)],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    """At most an hour, never negative; nonsense says nothing."""
    assert retry_after_s(text, 10.0) == seconds


def test_alertmanagers_form_has_all_that_its_receivers_read(server: HttpStub) -> None:
    """Version 4, one alert with labels that stay, a fingerprint by which firing and resolved belong together."""
    hook = Webhook(WebhookNotice(name="oncall", url=server.url, form="alertmanager"))
    first, over = work_order(), work_order(0, 5, OrderState.VERIFIED)
    for event in [opened(), *events_of_order("site", first, over)]:
        hook.send(event)
    firing, resolved = (msgspec.json.decode(request.body) for request in server.requests)
    assert set(firing) == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
        "commonAnnotations", "externalURL", "alerts",
    }  # fmt: skip
    assert (firing["version"], firing["status"], firing["receiver"]) == ("4", "firing", "oncall")
    assert firing["alerts"][0]["startsAt"] == "2023-11-14T22:13:20.000Z"
    assert firing["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert (resolved["status"], resolved["alerts"][0]["status"]) == ("resolved", "resolved")
    assert resolved["alerts"][0]["fingerprint"] == firing["alerts"][0]["fingerprint"]
    assert resolved["groupKey"] == firing["groupKey"]
    fired = events_of_alert("site", None, alert())[0]
    cleared = events_of_alert("site", alert(), alert(version=2, state=AlertState.CLEARED))[0]
    for event in (fired, cleared):
        hook.send(event)
    statuses = [msgspec.json.decode(request.body)["status"] for request in server.requests[2:]]
    assert statuses == ["firing", "resolved"]


def mail(port: int) -> Mail:
    return Mail(
        MailNotice(
            name="shift", host="127.0.0.1", port=port, tls="none", sender="site@plant.example",
            to=("shift@plant.example", "chief@plant.example"), timeout=Seconds(60.0),
        )
    )  # fmt: skip


def test_an_email_says_what_people_need(post: MailStub) -> None:
    """Its subject is one line without control characters, its Message-ID that of the event, its end the event."""
    event = msgspec.structs.replace(opened(), text="P2 pump\r\nBcc: all@world: opened")
    assert mail(post.port).send(event).verdict is Verdict.DONE
    message = email.message_from_string(post.mails[0])
    assert message["Subject"] == "P2 pump Bcc: all@world: opened"
    assert message["Bcc"] is None
    assert message["To"] == "shift@plant.example, chief@plant.example"
    assert message["Message-ID"] == f"<{event.id}@site.edgemesh>"
    text = message.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"likely cause: cavitation" in text


@pytest.mark.parametrize(
    ("word", "reply", "verdict"),
    [
        ("MAIL", "451 later", Verdict.AGAIN),
        ("MAIL", "550 never", Verdict.REFUSED),
        ("RCPT", "450 later", Verdict.AGAIN),
        ("RCPT", "550 nobody", Verdict.REFUSED),
        ("DATA", "554 no", Verdict.REFUSED),
        ("DATA", "452 full", Verdict.AGAIN),
    ],
)
def test_what_a_mail_server_says_counts(post: MailStub, word: str, reply: str, verdict: Verdict) -> None:
    """4xx is for now, 5xx for good."""
    post.replies[word] = reply
    assert mail(post.port).send(opened()).verdict is verdict


def test_no_mail_server_is_tried_again() -> None:
    """A refused connection is nothing that is for good."""
    with closed_port() as port:
        assert mail(port).send(opened()).verdict is Verdict.AGAIN


def test_an_mqtt_notice_is_done_once_the_connection_has_it() -> None:
    """Without a link it is tried again."""
    said: list[tuple[str, bytes, bool]] = []
    settings = MqttNotice(name="a", topic="plant/notices", retain=True)

    def publish(topic: str, payload: bytes, retain: bool) -> bool:
        said.append((topic, payload, retain))
        return True

    linked = MqttChannel(settings, publish)
    assert linked.send(opened()).verdict is Verdict.DONE
    ((topic, payload, retain),) = said
    assert (topic, retain) == ("plant/notices", True)
    assert decode(payload) == opened()
    assert MqttChannel(settings, lambda *given: False).send(opened()).verdict is Verdict.AGAIN


def test_an_answer_without_end_is_not_read_to_its_end(server: HttpStub) -> None:
    """256 KiB are enough to know what came of it, and the connection is let go."""
    server.script = [Answer(422, b"x" * 2_000_000)]
    reply = Webhook(WebhookNotice(name="a", url=server.url)).send(opened())
    assert reply.verdict is Verdict.REFUSED
    assert len(reply.said) < 1_000


def test_an_answer_that_drips_is_ended(server: HttpStub) -> None:
    """A byte now and then keeps no courier for ever: the whole answer has the time-out."""
    server.script = [Answer(200, b"x" * 300, drip=True)]
    hook = Webhook(WebhookNotice(name="a", url=server.url, timeout=Seconds(0.2)))
    assert hook.send(opened()).verdict is Verdict.AGAIN


def test_an_answer_that_is_cut_off_is_tried_again(server: HttpStub) -> None:
    """Nobody knows what came of it."""
    server.script = [Answer(cut=True)]
    assert Webhook(WebhookNotice(name="a", url=server.url)).send(opened()).verdict is Verdict.AGAIN
