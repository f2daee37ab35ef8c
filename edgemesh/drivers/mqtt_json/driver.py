"""The driver: a message becomes one sample, or a rejection with its reason; it is settled exactly once either way."""

from __future__ import annotations

import asyncio
import math

from edgemesh.drivers.contract import Driver, Inlet, Settle
from edgemesh.drivers.instants import instant_of
from edgemesh.drivers.mqtt_json.paths import MISSING, WHOLE, follow, leaves, parse_path
from edgemesh.drivers.mqtt_json.payload import read_document
from edgemesh.drivers.mqtt_json.settings import Metric, Settings
from edgemesh.drivers.mqtt_json.topics import parse_topic, rename
from edgemesh.drivers.templates import fill
from edgemesh.errors import Rejected
from edgemesh.model.ids import is_id
from edgemesh.model.samples import MAX_METRICS, Quality, Sample, Source
from edgemesh.wire.reasons import Reason

EARLIEST_NS = 946_684_800_000_000_000
"""The year 2000: a device whose clock shows less has none."""
AHEAD_NS = 86_400_000_000_000
MAX_SOURCES = 10_000

Values = tuple[float | None, ...]


class MqttJson:
    """Listens on one pattern of topics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = parse_topic(settings.topic)
        self._device_path = parse_path(settings.device_field) if settings.device_field else None
        self._time_path = parse_path(settings.time) if settings.time else None
        self._trace_path = parse_path(settings.trace) if settings.trace else None
        self._metrics = {name: _as_metric(value) for name, value in settings.metrics.items()}
        self._paths = [parse_path(metric.path) for metric in self._metrics.values()]
        self._sources: dict[tuple[str, str, tuple[str, ...]], Source] = {}

    async def run(self, inlet: Inlet) -> None:
        """Take messages until cancelled."""

        def take(topic: str, payload: bytes, settle: Settle) -> None:
            try:
                sample = self._sample(topic, payload, inlet)
            except Rejected as error:
                inlet.reject(error.reason, topic, payload, error.detail)
                settle()
            else:
                inlet.put((sample,), settle)

        inlet.listen(self._topic.subscription, take)
        await asyncio.Event().wait()

    def _sample(self, topic: str, payload: bytes, inlet: Inlet) -> Sample:
        document = read_document(payload)
        names = self._topic.read(topic)
        device, asset = self._identify(names, document)
        problems: list[Rejected] = []
        metrics, values = self._table(document, problems) if self._metrics else self._all(document, problems)
        if all(value is None for value in values):  # a message that is dropped is counted once
            raise problems[0] if problems else Rejected(Reason.NO_VALUES)
        for problem in problems:
            inlet.reject(problem.reason, topic, payload, problem.detail)
        at_ns, quality, own_time = self._instant(document, inlet.now_ns(), len(values))
        source = self._source(device, asset, metrics)
        return Sample(source, at_ns, values, quality, own_time, self._trace(document))

    # -- who -----------------------------------------------------------------------------------------------------------

    def _identify(self, names: dict[str, str], document: object) -> tuple[str, str]:
        """The ids of device and asset. Rejected: `bad_id`, `id_mismatch`."""
        if self._device_path is not None:
            said = follow(document, self._device_path)
            if isinstance(said, int) and not isinstance(said, bool):
                said = str(said)
            if not isinstance(said, str):
                raise Rejected(Reason.BAD_ID, f"no device's name at `{self._settings.device_field}`")
            if names.get("device", said) != said:
                raise Rejected(Reason.ID_MISMATCH, f"the topic says {names['device']!r:.80}, the message {said!r:.80}")
            names["device"] = said
        device = _checked("device", fill(self._settings.device, names))
        names["device"] = device
        renamed = rename(device, self._settings.assets)
        asset = fill(self._settings.asset, names) if renamed is None else renamed
        return device, _checked("asset", asset)

    def _source(self, device: str, asset: str, metrics: tuple[str, ...]) -> Source:
        key = (device, asset, metrics)
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= MAX_SOURCES:  # names come from the network: forget the oldest
                del self._sources[next(iter(self._sources))]
            units = tuple(self._metrics[name].unit if name in self._metrics else "1" for name in metrics)
            source = self._sources[key] = Source(device, asset, metrics, units)
        return source

    # -- when ----------------------------------------------------------------------------------------------------------

    def _instant(self, document: object, now_ns: int, width: int) -> tuple[int, tuple[Quality, ...] | None, bool]:
        """The device's time (True) if it can be believed, else the gateway's; then every reading is uncertain.

        A gateway whose own clock was never set can't tell what lies ahead.
        """
        if self._time_path is None:
            return now_ns, None, False
        try:
            at_ns = instant_of(follow(document, self._time_path), self._settings.time_format)
        except ValueError:
            at_ns = 0
        if at_ns >= EARLIEST_NS and (at_ns <= now_ns + AHEAD_NS or now_ns < EARLIEST_NS):
            return at_ns, None, True
        return now_ns, (Quality.UNCERTAIN,) * width, False

    def _trace(self, document: object) -> str:
        """The traceparent of the message, as it stands there; what is no text is passed on as one that is none."""
        found = MISSING if self._trace_path is None else follow(document, self._trace_path)
        if found is MISSING or found is None:
            return ""
        return found if isinstance(found, str) else type(found).__name__

    # -- what ----------------------------------------------------------------------------------------------------------

    def _table(self, document: object, problems: list[Rejected]) -> tuple[tuple[str, ...], Values]:
        """The metrics of the settings, None where the message has no value or a bad one."""
        values: list[float | None] = []
        bad: list[str] = []
        for (name, metric), path in zip(self._metrics.items(), self._paths, strict=True):
            found = follow(document, path)
            value = None if found is MISSING or found is None else _value(found, metric)
            if value is not None and math.isnan(value):
                bad.append(f"{name}: {found!r:.40}")
                value = None
            values.append(value)
        _note(problems, Reason.BAD_VALUE, bad)
        return tuple(self._metrics), tuple(values)

    def _all(self, document: object, problems: list[Rejected]) -> tuple[tuple[str, ...], Values]:
        """Every number and boolean of the message, named by its path; Rejected `too_many`."""
        values: dict[str, float | None] = {}
        bad: list[str] = []
        bad_names: list[str] = []
        for path, found in leaves(document):
            if path in (self._time_path, self._device_path, self._trace_path) or not isinstance(
                found, bool | int | float
            ):
                continue
            name = "_".join(map(str, path)) or "value"
            if not is_id(name) or name in values:
                bad_names.append(f"{name!r:.80}")
                continue
            value = _value(found, _PLAIN_BOOL if isinstance(found, bool) else _PLAIN)
            if math.isnan(value):
                bad.append(f"{name}: {found!r:.40}")
            values[name] = None if math.isnan(value) else value
        if len(values) > MAX_METRICS:
            raise Rejected(Reason.TOO_MANY, f"{len(values)} values, {MAX_METRICS} are allowed")
        _note(problems, Reason.BAD_VALUE, bad)
        _note(problems, Reason.BAD_ID, bad_names)
        return tuple(values), tuple(values.values())


def create(settings: Settings) -> Driver:
    """Build the driver."""
    return MqttJson(settings)


_PLAIN = Metric(path=WHOLE)
_PLAIN_BOOL = Metric(path=WHOLE, kind="bool")


def _as_metric(value: str | Metric) -> Metric:
    return Metric(path=value) if isinstance(value, str) else value


def _value(found: object, metric: Metric) -> float:
    """The reading, or NaN when what was found is none of this metric."""
    is_bool = isinstance(found, bool)
    if not isinstance(found, int | float) or (is_bool and metric.kind == "number"):
        return math.nan
    if metric.kind == "bool" and not is_bool and found not in (0, 1):
        return math.nan
    value = float(found) * metric.scale + metric.offset
    return value if math.isfinite(value) else math.nan


def _checked(what: str, name: str) -> str:
    if not is_id(name):
        raise Rejected(Reason.BAD_ID, f"the {what} {name!r:.80} is not 1 to 64 of A-Z a-z 0-9 _ -")
    return name


def _note(problems: list[Rejected], reason: Reason, details: list[str]) -> None:
    if details:
        problems.append(Rejected(reason, ", ".join(details)[:400]))
