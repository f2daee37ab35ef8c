"""Notices and tickets of a site: what the recorder puts aside for them, and the threads that send it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgemesh.bus.contract import Bus
from edgemesh.notices.channel import Channel
from edgemesh.notices.courier import Courier
from edgemesh.notices.intake import Moved, NoticeIntake
from edgemesh.notices.settings import AnyNotice, MailNotice, MqttNotice, WebhookNotice
from edgemesh.notices.tickets.settings import AnyTicket, JiraTicket

if TYPE_CHECKING:
    from edgemesh.notices.mqtt import Publish

PUBLISH_S = 5.0
"""So long a courier waits for the event loop to hand a notice to the broker's connection."""


@dataclass(slots=True)
class BusPublisher:
    """Publishes on the recorder's connection, for threads; False while there is none."""

    bus: Bus | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, topic: str, payload: bytes, retain: bool) -> bool:
        """Whether the connection has taken it over."""
        bus, loop = self.bus, self.loop
        if bus is None or loop is None or loop.is_closed():
            return False
        taken = threading.Event()
        results: list[bool] = []

        def publish() -> None:
            results.append(bus.linked and bus.publish(topic, payload, retain=retain))
            taken.set()

        try:
            loop.call_soon_threadsafe(publish)
        except (RuntimeError, CancelledError):  # the loop is over
            return False
        return taken.wait(PUBLISH_S) and results == [True]


@dataclass(slots=True)
class Notices:
    """`intake` is a sink of the recorder, `couriers` send; the recorder's card says what goes badly."""

    intake: NoticeIntake
    couriers: list[Courier]
    publisher: BusPublisher = field(default_factory=BusPublisher)

    @property
    def notice(self) -> str:
        """What can't be sent now; empty: nothing."""
        return next((courier.notice for courier in self.couriers if courier.notice), "")

    def start(self, bus: Bus | None = None) -> None:
        """Begin to send; on the event loop. `bus` is the recorder's."""
        self.publisher.bus, self.publisher.loop = bus, asyncio.get_running_loop()
        for courier in self.couriers:
            courier.start()

    def stop(self) -> None:
        """End; what was not sent stays. Not on the event loop: a courier may wait for it."""
        for courier in self.couriers:
            courier.stop()


def notices_file(data: Path) -> Path:
    """Where deliveries and tickets are kept."""
    return data / "notices.db"


def make_notices(
    site: str, notices: Sequence[AnyNotice], tickets: Sequence[AnyTicket], recorder: Path, data: Path
) -> Notices | None:
    """Build them; None where the configuration has neither. `recorder` is the recorder's file."""
    told: list[AnyNotice | AnyTicket] = [*notices, *tickets]
    if not told:
        return None
    moved, publisher, file = Moved(), BusPublisher(), notices_file(data)
    couriers = [
        Courier(each.name, _channel(each, publisher, file), recorder, file, moved, tries=each.tries) for each in told
    ]
    return Notices(NoticeIntake(site, told, moved), couriers, publisher)


def _channel(settings: AnyNotice | AnyTicket, publish: Publish, file: Path) -> Callable[[], Channel]:
    """How a channel is made, in its courier's thread; what it needs is loaded only there."""

    def make() -> Channel:
        if isinstance(settings, WebhookNotice):
            from edgemesh.notices.webhook import Webhook

            return Webhook(settings)
        if isinstance(settings, MailNotice):
            from edgemesh.notices.mail import Mail

            return Mail(settings)
        if isinstance(settings, MqttNotice):
            from edgemesh.notices.mqtt import MqttChannel

            return MqttChannel(settings, publish)
        return _keeper(settings, file)

    return make


def _keeper(settings: AnyTicket, file: Path) -> Channel:
    from edgemesh.notices.tickets.jira import Jira
    from edgemesh.notices.tickets.keeper import TicketKeeper
    from edgemesh.notices.tickets.register import Register
    from edgemesh.notices.tickets.servicenow import ServiceNow

    system = Jira(settings) if isinstance(settings, JiraTicket) else ServiceNow(settings)
    register = Register(file, settings.name)
    return TicketKeeper(system, register, settle_s=settings.settle, poll_s=settings.poll)
