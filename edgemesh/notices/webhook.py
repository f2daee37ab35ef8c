"""Webhooks: a POST of JSON, signed as the Standard Webhooks specification has it (standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable

from edgemesh.notices import alertmanager
from edgemesh.notices.channel import Reply
from edgemesh.notices.events import Event, encode
from edgemesh.notices.http import judge, request
from edgemesh.notices.settings import WebhookNotice, key_of


def sign(key: bytes, id_: str, at_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over `id.timestamp.body`."""
    digest = hmac.new(key, f"{id_}.{at_s}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class Webhook:
    """A channel to one address. Every try of an event has the same `webhook-id` and `Idempotency-Key`."""

    def __init__(self, settings: WebhookNotice, *, wall: Callable[[], float] = time.time) -> None:
        self._settings, self._wall = settings, wall
        self._key = key_of(settings.key.reveal())

    def send(self, event: Event) -> Reply:
        """POST it once; see `Channel.send`."""
        settings = self._settings
        body = encode(event) if settings.form == "edgemesh" else alertmanager.encode(event, receiver=settings.name)
        at_s = int(self._wall())
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": event.id,
            "webhook-id": event.id,
            "webhook-timestamp": str(at_s),
        }
        if self._key:
            headers["webhook-signature"] = sign(self._key, event.id, at_s, body)
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token.reveal()}"
        return judge(request("POST", settings.url, headers, body, timeout_s=settings.timeout), self._wall())

    def rest(self) -> None:
        """Nothing else to do."""

    def close(self) -> None:
        """Nothing stays open."""
