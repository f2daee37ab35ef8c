"""`edgemesh why`: find the alert, have it explained, and say it in lines for people."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import click

from edgemesh.configuration.loading import load
from edgemesh.console.sketch import COARSE, FINE, Row, sketch
from edgemesh.console.views import plain
from edgemesh.console.why import Sensor, Step, Why, explain
from edgemesh.detect.base.signals import amount, number
from edgemesh.errors import ConfigError, InputError, StoreError
from edgemesh.launch.lines import duration_text, instant_text
from edgemesh.launch.plant import journal_file
from edgemesh.model.alerts import Alert
from edgemesh.store.history import History

LATEST = "last"
_ID_SIGNS = 8
_SHOWN = 5
_MOST_SENSORS = 3
_STYLES = {
    "strange": {"fg": "red", "bold": True},
    "band": {"fg": "green"},
    "onset": {"fg": "yellow"},
    "axis": {"dim": True},
}
_WORDS = {"alert": "red", "dispatch": "cyan", "order": "cyan", "answer": "cyan", "verification": "green"}


def find_history(place: Path) -> Path:
    """The history of a configuration (.toml), of a data folder, or the recorder's file itself.

    ConfigError without a recorder, InputError when nothing is there yet.
    """
    if place.suffix == ".toml":
        configuration = load(place)
        recorder = configuration.settings.recorder
        if recorder is None:
            raise ConfigError("is missing", file=str(place), path="recorder", wish="without it no history is kept")
        file = journal_file(configuration.data, recorder.agent)
    else:
        file = journal_file(place, "recorder") if place.is_dir() else place
    if not file.is_file():
        wish = "was the site started from this folder? Its data folder, or a recorder's file, may be named instead"
        raise InputError("there is no history here", source=str(file), wish=wish)
    return file


def why(alert: str, file: Path) -> Why:
    """The chain of the alert whose id begins like this, or of the `last` one.

    InputError for an id that is none, or of several; it names those that are near.
    """
    try:
        with History(file) as history:
            return explain(history, _find(history, alert.strip().lower().replace("-", "")))
    except StoreError as error:
        if error.retryable:
            raise
        raise InputError(f"is no history of edgemesh: {error}", source=str(file)) from error


def _find(history: History, prefix: str) -> Alert:
    if prefix == LATEST:
        found = history.alerts(limit=1)
        if not found:
            raise InputError("holds no alert yet", source=str(history.path))
        return found[0]
    is_id = bool(prefix) and set(prefix) <= set("0123456789abcdef")
    found = history.find_alerts(prefix, limit=_SHOWN + 1) if is_id else []
    if len(found) == 1:
        return found[0]
    if found:
        wish = "give more of it: " + ", ".join(_named(alert, len(prefix) + 4) for alert in found[:_SHOWN])
        more = "more than " * (len(found) > _SHOWN)
        raise InputError(f"{more}{min(len(found), _SHOWN)} alerts begin like this", source=prefix, wish=wish)
    raise InputError("no alert begins like this", source=prefix or "''", wish=_nearest(history, prefix))


def _nearest(history: History, prefix: str) -> str:
    alerts = history.alerts(limit=2_000)
    if not alerts:
        return "the history holds no alert yet"
    heads = {alert.id[: max(4, len(prefix))]: alert for alert in reversed(alerts)}
    near = [heads[head] for head in difflib.get_close_matches(prefix, heads, n=3, cutoff=0.6)]
    shown = near or alerts[:3]
    return ("near: " if near else "the latest: ") + ", ".join(_named(alert, _ID_SIGNS) for alert in shown)


def _named(alert: Alert, signs: int) -> str:
    return f"{alert.id[: max(signs, _ID_SIGNS)]} {alert.asset} {instant_text(alert.raised_at_ns)}"


def lines_of(why: Why, *, width: int = 80, fine: bool = True) -> list[str]:
    """The chain as lines, with marks of colour that `click.echo` leaves out where there is no terminal."""
    state = "stands" if why.lasted_s is None else f"lasted {duration_text(why.lasted_s)}"
    lines = [
        click.style(f"{why.asset}: {plain(why.cause)}", bold=True),
        f"{why.severity} alert {why.id}, {why.kind}, {why.state}; {state} since {instant_text(why.onset_at_ns)}",
        f"from {_origin(why)}",
    ]
    lines += sensors_lines(why, width=width, fine=fine)
    lines += ["", *step_lines(why.steps)]
    if not why.orders:
        lines.append("  no work order came of it")
    for order in why.orders:
        lines.append(f"order {order.id[:_ID_SIGNS]} is {order.state}: {plain(order.cause)}")
    return lines


def sensors_lines(why: Why, *, width: int, fine: bool) -> list[str]:
    """The sensors of an alert, the three strongest drawn."""
    lines: list[str] = []
    for sensor in why.sensors[:_MOST_SENSORS]:
        lines += ["", *_sensor_lines(sensor, why, width, fine)]
    if len(why.sensors) > _MOST_SENSORS:
        names = ", ".join(f"{each.device}/{each.metric}" for each in why.sensors[_MOST_SENSORS:])
        lines += ["", f"also: {names}"]
    return lines


def step_lines(steps: Sequence[Step]) -> list[str]:
    """What happened, a line a step under its day."""
    lines: list[str] = []
    day = ""
    for step in steps:
        text = instant_text(step.at_ns)
        lines += [text[:10]] if text[:10] != day else []
        day = text[:10]
        lines.append(f"  {text[11:]} {click.style(f'{step.what:<12}', fg=_WORDS.get(step.what))} {plain(step.text)}")
    return lines


def _origin(why: Why) -> str:
    gateway = f"gateway {why.gateway or 'unknown'}"
    pack = f", pack {plain(why.origin)}" if why.origin else ", no pack: time itself brought it about"
    return f"{gateway}{pack}, by {plain(why.model)}"


def _sensor_lines(sensor: Sensor, why: Why, width: int, fine: bool) -> list[str]:
    value = "no value" if sensor.value is None else amount(sensor.value, sensor.unit)
    text = f"{sensor.device}/{sensor.metric} was {value}, normal {plain(sensor.normal) or 'unknown'}"
    if sensor.off:
        side = "above" if sensor.off > 0 else "below"
        text += f": {number(abs(sensor.off))}{'' if sensor.unit == '1' else ' ' + sensor.unit} {side} it"
    lines = [f"{text} ({number(sensor.score)} times the limit of `{plain(sensor.rule)}`)"]
    rows = sketch(
        sensor.curve,
        low=sensor.low,
        high=sensor.high,
        onset_at_ns=why.onset_at_ns,
        width=max(20, min(100, width) - 12),
        signs=FINE if fine else COARSE,
    )
    if not rows:
        return [*lines, "  its readings of that time are not in the history (any more)"]
    lines += [_styled(row) for row in rows]
    begin, onset, end = (
        instant_text(at_ns)[11:] for at_ns in (sensor.curve[0][0], why.onset_at_ns, sensor.curve[-1][0])
    )
    signs = FINE if fine else COARSE
    told = f"{signs.onset} onset {onset}"
    if sensor.low is not None or sensor.high is not None:
        told += f"  {signs.edge} edge of normal"
    room = min(100, width) - 12 - len(begin) - len(end)
    told = told if len(told) + 2 <= room else ""
    lines.append(f"{'':>11}{begin}{told:^{max(1, room)}}{end}")
    return lines


def _styled(row: Row) -> str:
    return "".join(click.style(text, **_STYLES[kind]) if kind in _STYLES else text for text, kind in row)  # type: ignore[arg-type]
