"""The sections `[[notice]]`: who is told of what, and how."""

from __future__ import annotations

import base64
import binascii
from fnmatch import fnmatchcase
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from edgemesh.model.alerts import Severity
from edgemesh.model.ids import Id
from edgemesh.model.orders import Priority
from edgemesh.model.settings import Seconds, Secret, Settings
from edgemesh.notices.events import ORDER_EVENTS, Event, What

WHSEC = "whsec_"
"""How a key of Standard Webhooks begins."""
Text = Annotated[str, Meta(min_length=1, max_length=500)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Notice(Settings, frozen=True, kw_only=True):
    """What every `[[notice]]` has.

    `on` are the events that are told; of alerts those of `severity` and above, of orders those of `priority` and above,
    of assets that fit the glob `asset`. A try ends after `timeout`; after `tries` tries in vain a notice is a dead
    letter.
    """

    name: Id
    on: Annotated[tuple[What, ...], Meta(min_length=1)] = ("opened", "escalated", "breached", "verified")
    severity: Severity = Severity.WARNING
    priority: Priority = Priority.P4
    asset: Text = "*"
    timeout: Seconds = Seconds(10.0)
    tries: Annotated[int, Meta(ge=1, le=10_000)] = 100

    def __post_init__(self) -> None:
        if not 0.0 < self.timeout <= 300.0:
            raise ValueError("`timeout` must be longer than nothing, and 5 min at most")

    def wants(self, event: Event) -> bool:
        """Whether it is told of this."""
        if event.what not in self.on or not fnmatchcase(event.asset, self.asset):
            return False
        if event.what in ORDER_EVENTS:
            return event.priority is None or event.priority.value <= self.priority.value
        return event.severity is None or event.severity.rank >= self.severity.rank


def check_url(url: str, name: str) -> None:
    """Raise ValueError for what is no address of a web server, or holds a password."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"`{name}` must be an address like https://host/path")
    if parts.username or parts.password:
        raise ValueError(f"`{name}` must hold no password: it would be shown; use the settings for it")
    _ = parts.port  # ValueError for what is no port


def key_of(text: str) -> bytes:
    """The key as bytes: of `whsec_` and base64 what that stands for, of anything else its UTF-8."""
    if text.startswith(WHSEC):
        try:
            return base64.b64decode(text.removeprefix(WHSEC), validate=True)
        except binascii.Error as error:
            raise ValueError("`key` begins with whsec_, but the rest is no base64") from error
    return text.encode()


class WebhookNotice(Notice, frozen=True, kw_only=True, tag_field="type", tag="webhook"):
    """`type = "webhook"`: a POST of JSON to `url`.

    With a `key` it is signed (docs/notices.md#signature); `token` goes as a bearer token. `form = "alertmanager"` sends
    what Alertmanager's own webhook would.
    """

    url: Text
    key: Secret = Secret("")
    token: Secret = Secret("")
    form: Literal["edgemesh", "alertmanager"] = "edgemesh"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_url(self.url, "url")
        key_of(self.key.reveal())


class MailNotice(Notice, frozen=True, kw_only=True, tag_field="type", tag="mail"):
    """`type = "mail"`: an e-mail through the server `host`; a `login` only ever goes over TLS."""

    host: Text
    sender: Text
    to: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=50)]
    port: Port = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    login: str = ""
    password: Secret = Secret("")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.login and self.tls == "none":
            raise ValueError('`login` needs `tls = "starttls"` or `"tls"`')
        if any("@" not in address or set(address) & set("\r\n") for address in (self.sender, *self.to)):
            raise ValueError("`sender` and `to` must be addresses like shift@plant.example")


class MqttNotice(Notice, frozen=True, kw_only=True, tag_field="type", tag="mqtt"):
    """`type = "mqtt"`: JSON on a topic of the site's broker, outside of edgemesh's own."""

    topic: Text
    retain: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if set(self.topic) & set("+#\0") or self.topic.startswith(("edgemesh/", "$")):
            raise ValueError("`topic` must have no + or #, and lie outside of edgemesh/ and $")


AnyNotice = WebhookNotice | MailNotice | MqttNotice
