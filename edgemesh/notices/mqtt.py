"""Notices on a topic of the site's own broker."""

from __future__ import annotations

from collections.abc import Callable

from edgemesh.notices.channel import Reply, Verdict
from edgemesh.notices.events import Event, encode
from edgemesh.notices.settings import MqttNotice

Publish = Callable[[str, bytes, bool], bool]
"""Topic, payload and whether it is retained; whether it was taken over. May be called in any thread."""


class MqttChannel:
    """A channel onto one topic; done once the connection to the broker has taken it over."""

    def __init__(self, settings: MqttNotice, publish: Publish) -> None:
        self._settings, self._publish = settings, publish

    def send(self, event: Event) -> Reply:
        """Publish it; see `Channel.send`."""
        taken = self._publish(self._settings.topic, encode(event), self._settings.retain)
        return Reply(Verdict.DONE, "published") if taken else Reply(Verdict.AGAIN, "there is no link to the broker")

    def rest(self) -> None:
        """Nothing else to do."""

    def close(self) -> None:
        """The connection is another's."""
