"""The log of a process: who speaks in a line, lines for people or JSON, and which of them are said at all."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

from edgemesh.health.levels import Levels, number

Form = Literal["human", "json"]

TEXT = 8_192
"""Characters of a message, and of an exception twice as many; the rest is cut."""
_STORE = "edgemesh.store"


class Speakers:
    """Tells which agent speaks in a line, by what lines have in common.

    The first argument of a line is the name of who speaks: the agent's, that of its client on the bus, or that of one
    of its drivers. Else it is whose thread it is, the recorder for what the store says, or the only one there is.
    """

    def __init__(self) -> None:
        self.site = ""
        self._roles: Mapping[str, str] = {}
        self._recorder = self._only = ""

    def know(self, site: str, roles: Mapping[str, str]) -> None:
        """The agents of this process, by name with their role."""
        self.site, self._roles = site, roles
        self._recorder = next((name for name, role in roles.items() if role == "recorder"), "")
        self._only = next(iter(roles)) if len(roles) == 1 else ""

    def find(self, record: logging.LogRecord) -> str:
        """The agent that speaks; empty: none in particular."""
        given = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        said = given if isinstance(given, str) else ""
        thread = (record.threadName or "").rpartition("_")[0]
        for name in (said, said.removeprefix(f"edgemesh-{self.site}-"), said.partition(".")[0], thread):
            if name in self._roles:
                return name
        return self._recorder if self._recorder and record.name.startswith(_STORE) else self._only


class JsonForm(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and site, agent, trace_id, span_id, exception if known.

    A record has `trace_id` and `span_id` as attributes (`extra=`) where its writer knows them.
    """

    def __init__(self, speakers: Speakers) -> None:
        super().__init__()
        self._speakers = speakers

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "site": self._speakers.site,
            "agent": self._speakers.find(record),
            "message": record.getMessage()[:TEXT],
            "trace_id": str(getattr(record, "trace_id", "")),
            "span_id": str(getattr(record, "span_id", "")),
            "exception": self.formatException(record.exc_info)[-2 * TEXT :] if record.exc_info else "",
        }
        return msgspec.json.encode({name: sound(text) for name, text in fields.items() if text}).decode()


def sound(text: str) -> str:
    """The text without half surrogate pairs, which no UTF-8 has."""
    return text.encode("utf-8", "replace").decode()


class LogOutput(logging.Handler):
    """The only handler of the process: says lines on a stream in their form, as far as their agent's level allows."""

    def __init__(self, level: str, form: Form = "human", stream: TextIO | None = None) -> None:
        super().__init__()
        self.levels = Levels(number(level))
        self.speakers = Speakers()
        self._stream = stream or sys.stderr
        self.put_form(form)

    def put_form(self, form: Form) -> None:
        """Say lines in this form from now on."""
        human = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
        self.setFormatter(JsonForm(self.speakers) if form == "json" else human)

    def install(self) -> None:
        """Say what the whole process logs, unless somebody else does already."""
        logging.basicConfig(handlers=[self], level=self.levels.usual)

    def put_level(self, agent: str, level: str, for_s: float = 0.0) -> None:
        """Log of an agent what is at least of this level, for so long (0: from now on); `usual`: as at the start."""
        self.levels.set(agent, None if level == "usual" else number(level), for_s)
        logging.getLogger().setLevel(self.levels.least)

    def emit(self, record: logging.LogRecord) -> None:
        """Say a line, if it is to be said."""
        if record.levelno < self.levels.of(self.speakers.find(record)):
            root = logging.getLogger()
            if root.level < self.levels.least:  # somebody's time is over
                root.setLevel(self.levels.least)
            return
        try:
            self._stream.write(self.format(record) + "\n")
            self._stream.flush()
        except Exception:  # noqa: BLE001  what logging itself does: a line that can't be said ends nothing
            self.handleError(record)
