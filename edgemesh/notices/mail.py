"""E-mail, with the standard library: one message for each event, the same Message-ID at each try."""

from __future__ import annotations

import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

import msgspec

from edgemesh.notices.channel import Reply, Verdict
from edgemesh.notices.events import Event
from edgemesh.notices.settings import MailNotice


def message_of(event: Event, settings: MailNotice) -> EmailMessage:
    """The e-mail: its subject is the event's line, its text what people need, at its end the event as JSON."""
    message = EmailMessage()
    message["From"], message["To"] = settings.sender, ", ".join(settings.to)
    message["Subject"] = " ".join("".join(sign if sign.isprintable() else " " for sign in event.text).split())[:200]
    message["Date"] = format_datetime(datetime.fromtimestamp(event.at_ns / 1e9, UTC))
    message["Message-ID"] = f"<{event.id}@{event.site}.edgemesh>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Edgemesh-Event"] = event.what
    lines = [event.text, ""]
    if event.order:
        lines += [f"order {event.order.id}", f"likely cause: {event.order.cause}", f"state: {event.order.state}"]
    elif event.alert:
        lines += [f"alert {event.alert.id}", event.alert.consequence, event.alert.action]
    body = msgspec.json.format(msgspec.json.encode(event), indent=1).decode()
    message.set_content("\n".join([*(line for line in lines), "", body]))
    return message


class Mail:
    """A channel through one mail server, a connection for each message."""

    def __init__(self, settings: MailNotice) -> None:
        self._settings = settings

    def send(self, event: Event) -> Reply:
        """Hand it to the server; see `Channel.send`."""
        settings = self._settings
        try:
            refused = self._hand_over(message_of(event, settings))
        except smtplib.SMTPResponseException as error:
            text = (
                error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
            )
            login = isinstance(error, smtplib.SMTPAuthenticationError)
            for_good = error.smtp_code >= 500 and not login
            return Reply(Verdict.REFUSED if for_good else Verdict.AGAIN, f"{error.smtp_code} {text}")
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            for_good = bool(codes) and all(code >= 500 for code in codes)
            return Reply(Verdict.REFUSED if for_good else Verdict.AGAIN, f"refused: {sorted(error.recipients)}")
        except (OSError, smtplib.SMTPException) as error:
            return Reply(Verdict.AGAIN, f"{type(error).__name__}: {error}")
        return Reply(Verdict.DONE, f"refused: {sorted(refused)}" if refused else "250")

    def _hand_over(self, message: EmailMessage) -> dict[str, tuple[int, bytes]]:
        settings = self._settings
        context = ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(settings.host, settings.port, timeout=settings.timeout, context=context)
            if settings.tls == "tls"
            else smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout)
        )
        with server:
            if settings.tls == "starttls":
                server.starttls(context=context)
            if settings.login:
                server.login(settings.login, settings.password.reveal())
            return server.send_message(message)

    def rest(self) -> None:
        """Nothing else to do."""

    def close(self) -> None:
        """Nothing stays open."""
