"""Topics: the one place where their text is made and read."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass

from edgemesh.errors import Rejected
from edgemesh.model.ids import is_id
from edgemesh.wire.reasons import Reason

PREFIX = "edgemesh/v1"
MAX_TOPIC = 512
ANY = "+"


class Kind(enum.StrEnum):
    """What is said on a topic. The first three are the kinds of packs."""

    READINGS = "readings"
    ALERTS = "alerts"
    ORDERS = "orders"
    WATERMARK = "watermark"
    CARD = "card"
    OWNERS = "owners"
    ALERT = "alert"
    ORDER = "order"
    DISPATCH = "dispatch"
    ANSWER = "answer"
    INGEST = "ingest"
    COMMAND = "command"
    REPLY = "reply"
    MODEL = "model"
    MODEL_STATE = "model_state"
    VERDICTS = "verdicts"
    SILENCE = "silence"
    REVIEW = "review"
    SPANS = "spans"
    SCORES = "scores"
    LINES = "lines"


# The levels after the site that name each kind, and how many names follow them.
_LEVELS: dict[Kind, tuple[str, int]] = {
    Kind.READINGS: ("log/readings", 1),
    Kind.ALERTS: ("log/alerts", 1),
    Kind.ORDERS: ("log/orders", 1),
    Kind.WATERMARK: ("watermark", 2),
    Kind.CARD: ("agent", 1),
    Kind.OWNERS: ("owners", 0),
    Kind.ALERT: ("state/alert", 1),
    Kind.ORDER: ("state/order", 1),
    Kind.DISPATCH: ("dispatch", 1),
    Kind.ANSWER: ("answer", 1),
    Kind.INGEST: ("ingest", 1),
    Kind.COMMAND: ("command", 1),
    Kind.REPLY: ("reply", 1),
    Kind.MODEL: ("model", 1),
    Kind.MODEL_STATE: ("state/model", 1),
    Kind.VERDICTS: ("state/verdicts", 1),
    Kind.SILENCE: ("state/silence", 1),
    Kind.REVIEW: ("state/review", 1),
    Kind.SPANS: ("told/spans", 1),
    Kind.SCORES: ("told/scores", 1),
    Kind.LINES: ("told/lines", 1),
}
_KINDS: dict[tuple[str, ...], tuple[Kind, int]] = {
    tuple(levels.split("/")): (kind, names) for kind, (levels, names) in _LEVELS.items()
}


@dataclass(frozen=True, slots=True)
class Address:
    """What a topic says. `name` is the agent, device, executor, id or asset; `second` the group of a watermark."""

    site: str
    kind: Kind
    name: str = ""
    second: str = ""


class Topics:
    """The topics of one site. Any argument may be `+`, which makes a pattern for a subscription.

    ValueError when the site or an argument is no identifier.
    """

    __slots__ = ("base", "site")

    def __init__(self, site: str) -> None:
        if not is_id(site):
            raise ValueError(f"a site is 1 to 64 of A-Z a-z 0-9 _ -, got {site!r}")
        self.site = site
        self.base = f"{PREFIX}/{site}/"

    def _make(self, kind: Kind, *names: str) -> str:
        return self._join(_LEVELS[kind][0], *names)

    def _join(self, levels: str, *names: str) -> str:
        for name in names:
            if name != ANY and not is_id(name):
                raise ValueError(f"a name in a topic is 1 to 64 of A-Z a-z 0-9 _ - (or + for any), got {name!r}")
        return self.base + "/".join((levels, *names))

    def log(self, kind: str, agent: str) -> str:
        """Packs of an agent's log; kind is `readings`, `alerts`, `orders` or `+`."""
        if kind not in (Kind.READINGS, Kind.ALERTS, Kind.ORDERS, ANY):
            raise ValueError(f"a log is of readings, alerts or orders, got {kind!r}")
        return self._join(f"log/{kind}", agent)

    def watermark(self, agent: str, group: str) -> str:
        """How far a consumer group is in the agent's log (retained)."""
        return self._make(Kind.WATERMARK, agent, group)

    def card(self, agent: str) -> str:
        """Card, heartbeat and Last Will of an agent (retained)."""
        return self._make(Kind.CARD, agent)

    def owners(self) -> str:
        """Which detector owns which gateway's log (retained)."""
        return self._make(Kind.OWNERS)

    def alert(self, id: str) -> str:  # noqa: A002  the wire's own word
        """An alert that stands now (retained, emptied when over)."""
        return self._make(Kind.ALERT, id)

    def order(self, id: str) -> str:  # noqa: A002  the wire's own word
        """A work order that stands now (retained, emptied when over)."""
        return self._make(Kind.ORDER, id)

    def dispatch(self, executor: str) -> str:
        """The orders given to one executor now (retained)."""
        return self._make(Kind.DISPATCH, executor)

    def answer(self, executor: str) -> str:
        """What an executor says of its orders."""
        return self._make(Kind.ANSWER, executor)

    def ingest(self, device: str) -> str:
        """Any plain device's JSON."""
        return self._make(Kind.INGEST, device)

    def command(self, agent: str) -> str:
        """Commands to an agent."""
        return self._make(Kind.COMMAND, agent)

    def reply(self, agent: str) -> str:
        """What an agent says to a command."""
        return self._make(Kind.REPLY, agent)

    def model(self, asset: str) -> str:
        """The newest offer of a model for an asset (retained)."""
        return self._make(Kind.MODEL, asset)

    def model_state(self, asset: str) -> str:
        """What the asset's detector says of it (retained)."""
        return self._make(Kind.MODEL_STATE, asset)

    def verdicts(self, asset: str) -> str:
        """What was found about an asset's alerts (retained)."""
        return self._make(Kind.VERDICTS, asset)

    def silence(self, id: str) -> str:  # noqa: A002  the wire's own word
        """A silence that is set now (retained, emptied when over)."""
        return self._make(Kind.SILENCE, id)

    def review(self, alert: str) -> str:
        """An alert that waits for a person (retained, emptied when it no longer does)."""
        return self._make(Kind.REVIEW, alert)

    def spans(self, agent: str) -> str:
        """What an agent has recorded for traces; it may get lost."""
        return self._make(Kind.SPANS, agent)

    def scores(self, detector: str) -> str:
        """What a detector tells of its scores; it may get lost."""
        return self._make(Kind.SCORES, detector)

    def lines(self, agent: str) -> str:
        """What an agent tells of its log; it may get lost."""
        return self._make(Kind.LINES, agent)

    def below(self, tail: str) -> str:
        """The full topic for a tail such as a core's `present` gives (`state/alert/…`); the tail is not checked."""
        return self.base + tail


def parse(topic: str) -> Address:
    """Read a topic of any site strictly. Rejected: `too_large`, `bad_topic` (prefix, levels, wildcards), `bad_id`."""
    if len(topic) > MAX_TOPIC:
        raise Rejected(Reason.TOO_LARGE, f"a topic of {len(topic)} characters, {MAX_TOPIC} are allowed")
    return _parse(topic)


@functools.lru_cache(maxsize=8192)
def _parse(topic: str) -> Address:
    if not topic.startswith(PREFIX + "/"):
        raise Rejected(Reason.BAD_TOPIC, f"does not begin with {PREFIX}/")
    if "+" in topic or "#" in topic or "\0" in topic:
        raise Rejected(Reason.BAD_TOPIC, "has a wildcard or NUL in it")
    site, *levels = topic[len(PREFIX) + 1 :].split("/")
    kind, names = _KINDS.get(tuple(levels[:2])) or _KINDS.get(tuple(levels[:1])) or (None, 0)
    if kind is None:
        raise Rejected(Reason.BAD_TOPIC, "no kind of topic has these levels")
    own = levels[_LEVELS[kind][0].count("/") + 1 :]
    if len(own) != names:
        raise Rejected(Reason.BAD_TOPIC, f"{kind} needs {names} names after it, this has {len(own)}")
    if not all(map(is_id, (site, *own))):
        raise Rejected(Reason.BAD_ID, "a name in the topic is not 1 to 64 of A-Z a-z 0-9 _ -")
    return Address(site, kind, *own)
