"""`edgemesh alerts`, `orders`, `silence`, `review`: what stands on a running site, and what people say of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgemesh.commands.common import BROKER, BY, DURATION, SITE, errors, log, person, sample
from edgemesh.errors import InputError

if TYPE_CHECKING:
    from edgemesh.launch.standing import Standing
    from edgemesh.model.commands import Command

F = TypeVar("F", bound=Callable[..., Any])
_SHORT = 8


def _site(function: F) -> F:
    for option in (
        SITE,
        BROKER,
        click.argument("config", required=False, type=click.Path(path_type=Path)),
    ):
        function = option(function)
    return function


_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON array on standard output.")


@click.command()
@_site
@_json
@errors
def alerts(config: Path | None, broker: str | None, site: str | None, as_json: bool) -> None:
    """Show the alerts that stand now, most severe first.

    CONFIG says where the site is; it defaults to the demo's.
    """
    found = sorted(
        _look(config, broker, site).alerts.values(), key=lambda each: (-each.severity.rank, each.onset_at_ns)
    )
    rows = [
        (each.id[:_SHORT], each.severity, each.state, each.asset, each.kind, _when(each.onset_at_ns),
         f"{each.confidence:.2f}", each.cause)
        for each in found
    ]  # fmt: skip
    _show(found, rows, ("alert", "severity", "state", "asset", "kind", "since", "sure", "cause"), as_json)


@click.command()
@_site
@_json
@errors
def orders(config: Path | None, broker: str | None, site: str | None, as_json: bool) -> None:
    """Show the work orders that are not over, most urgent first.

    CONFIG says where the site is; it defaults to the demo's.
    """
    found = sorted(_look(config, broker, site).orders.values(), key=lambda each: (each.priority, each.opened_at_ns))
    rows = [
        (each.id[:_SHORT], each.priority, each.state, each.asset, each.executor or "-", _when(each.opened_at_ns),
         each.title)
        for each in found
    ]  # fmt: skip
    _show(found, rows, ("order", "priority", "state", "asset", "executor", "opened", "what"), as_json)


@click.command()
@click.argument("alert")
@BY
@_site
@errors
def ack(alert: str, by: str | None, config: Path | None, broker: str | None, site: str | None) -> None:
    """Say that you have seen ALERT (its id, or the beginning of it): it is acknowledged until it clears.

    CONFIG says where the site is; it defaults to the demo's.
    """
    from edgemesh.model.alerts import AlertState
    from edgemesh.model.commands import Acknowledgement, Command

    def make(standing: Standing, chosen: str) -> tuple[str, Command]:
        seen = Acknowledgement(alert=chosen, by=person(by))
        return standing.detector(chosen), Command(id=secrets.token_hex(16), ack=seen)

    def done(standing: Standing, chosen: str) -> bool:
        found = standing.alerts.get(chosen)
        return found is None or found.state is AlertState.ACKNOWLEDGED

    chosen = _tell_of("alert", alert, lambda standing: standing.alerts, make, done, config, broker, site)
    click.echo(f"{chosen} is acknowledged")


@click.group()
def silence() -> None:
    """Let alerts open no work order for a while: they are recorded, and what still stands at the end opens one then."""


@silence.command("add")
@click.option("--asset", default="*", show_default=True, help="Assets, a shell pattern.")
@click.option("--area", default="*", show_default=True, help="Areas, a shell pattern.")
@click.option("--kind", type=click.Choice(["machine", "sensor", "silent", "gateway"]), help="Of this kind only.")
@click.option("--up-to", "severity", type=click.Choice(["info", "warning", "critical"]), help="Up to this severity.")
@click.option(
    "--for", "for_s", type=DURATION, required=True, metavar="DURATION", help="How long, like 2h; at most 366d."
)
@click.option("--reason", required=True, help="Why; others will read it.")
@BY
@_site
@errors
def add(
    asset: str, area: str, kind: str | None, severity: str | None, for_s: float, reason: str, by: str | None,
    config: Path | None, broker: str | None, site: str | None,
) -> None:  # fmt: skip
    """Set a silence, and print its id.

    CONFIG says where the site is; it defaults to the demo's.
    """
    from edgemesh.model.alerts import AlertKind, Severity
    from edgemesh.model.commands import MOST_SILENT_S, Command, Silencing

    if not 0.0 < for_s <= MOST_SILENT_S:
        raise click.BadParameter("more than nothing, and 366d at most", param_hint="--for")
    name = secrets.token_hex(16)
    asked = Silencing(
        by=person(by), reason=reason, for_s=float(for_s), asset=asset, area=area,
        kind=AlertKind(kind) if kind else None, severity=Severity(severity) if severity else None,
    )  # fmt: skip

    def make(standing: Standing) -> tuple[str, Command]:
        return standing.scheduler(), Command(id=name, silence=asked)

    _tell(config, broker, site, make, lambda standing: name in standing.silences)
    click.echo(name)


@silence.command("list")
@_site
@_json
@errors
def list_silences(config: Path | None, broker: str | None, site: str | None, as_json: bool) -> None:
    """Show the silences that are set now. Windows of the configuration are not among them.

    CONFIG says where the site is; it defaults to the demo's.
    """
    found = sorted(_look(config, broker, site).silences.values(), key=lambda each: each.end_ns)
    rows = [
        (each.id[:_SHORT], _when(each.end_ns), each.asset, each.area, each.kind or "*", each.severity or "*", each.by,
         each.reason)
        for each in found
    ]  # fmt: skip
    _show(found, rows, ("silence", "until", "asset", "area", "kind", "up to", "by", "reason"), as_json)


@silence.command("end")
@click.argument("silence_id", metavar="SILENCE")
@_site
@errors
def end(silence_id: str, config: Path | None, broker: str | None, site: str | None) -> None:
    """End SILENCE (its id, or the beginning of it) now.

    CONFIG says where the site is; it defaults to the demo's.
    """
    from edgemesh.model.commands import Command

    def make(standing: Standing, chosen: str) -> tuple[str, Command]:
        return standing.scheduler(), Command(id=secrets.token_hex(16), end_silence=chosen)

    def done(standing: Standing, chosen: str) -> bool:
        return chosen not in standing.silences

    chosen = _tell_of("silence", silence_id, lambda standing: standing.silences, make, done, config, broker, site)
    click.echo(f"{chosen} is over")


@click.group()
def review() -> None:
    """Judge alerts that are not sure enough to open a work order by themselves."""


@review.command("list")
@_site
@_json
@errors
def list_reviews(config: Path | None, broker: str | None, site: str | None, as_json: bool) -> None:
    """Show the alerts that wait for a person, the next to run out first.

    CONFIG says where the site is; it defaults to the demo's.
    """
    found = sorted(_look(config, broker, site).cases.values(), key=lambda each: each.until_ns)
    rows = [
        (each.alert.id[:_SHORT], _when(each.until_ns), each.alert.severity, each.alert.asset,
         f"{each.alert.confidence:.2f}", each.alert.cause)
        for each in found
    ]  # fmt: skip
    _show(found, rows, ("alert", "until", "severity", "asset", "sure", "cause"), as_json)


@review.command("confirm")
@click.argument("alert")
@BY
@_site
@errors
def confirm(alert: str, by: str | None, config: Path | None, broker: str | None, site: str | None) -> None:
    """Say that ALERT (its id, or the beginning of it) is one: it opens its work order now.

    CONFIG says where the site is; it defaults to the demo's.
    """
    _judge(alert, "confirm", by, config, broker, site)


@review.command("dismiss")
@click.argument("alert")
@BY
@_site
@errors
def dismiss(alert: str, by: str | None, config: Path | None, broker: str | None, site: str | None) -> None:
    """Say that ALERT (its id, or the beginning of it) is none: it opens no work order as long as it stands.

    CONFIG says where the site is; it defaults to the demo's.
    """
    _judge(alert, "dismiss", by, config, broker, site)


def _judge(alert: str, said: str, by: str | None, config: Path | None, broker: str | None, site: str | None) -> None:
    from edgemesh.model.commands import Command, Judgement
    from edgemesh.model.silences import Ruling

    def make(standing: Standing, chosen: str) -> tuple[str, Command]:
        judged = Judgement(alert=chosen, ruling=Ruling(said), by=person(by))
        return standing.scheduler(), Command(id=secrets.token_hex(16), review=judged)

    def done(standing: Standing, chosen: str) -> bool:
        return chosen not in standing.cases

    chosen = _tell_of("alert that waits", alert, lambda standing: standing.cases, make, done, config, broker, site)
    click.echo(f"{chosen}: {said}ed")


def _look(config: Path | None, broker: str | None, site: str | None) -> Any:
    from edgemesh.launch.standing import look_at

    log("error")
    return asyncio.run(look_at(config or sample("demo.toml"), broker, site))


def _tell(config: Path | None, broker: str | None, site: str | None, make: Any, done: Any) -> None:
    from edgemesh.launch.standing import tell

    log("error")
    asyncio.run(tell(config or sample("demo.toml"), broker, site, make, done))


def _tell_of(
    what: str,
    prefix: str,
    there: Callable[[Standing], Iterable[str]],
    make: Callable[[Standing, str], tuple[str, Command]],
    done: Callable[[Standing, str], bool],
    config: Path | None,
    broker: str | None,
    site: str | None,
) -> str:
    """Give a command about the one thing that stands there and whose id begins so; return its id once it is done."""
    chosen: list[str] = []

    def make_of_one(standing: Standing) -> tuple[str, Command]:
        chosen.append(_pick(what, prefix, there(standing)))
        return make(standing, chosen[0])

    _tell(config, broker, site, make_of_one, lambda standing: done(standing, chosen[0]))
    return chosen[0]


def _pick(what: str, name: str, there: Iterable[str]) -> str:
    """The one id that begins like this."""
    found = sorted(each for each in there if each.startswith(name))
    if len(found) != 1:
        problem = "there is no" if not found else f"{len(found)} ids begin so: which"
        raise InputError(f"{problem} {what} `{name}`", wish="list them")
    return found[0]


def _when(at_ns: int) -> str:
    """An instant in local time; only the time of day if it is within twelve hours."""
    local = datetime.fromtimestamp(at_ns / 1e9, UTC).astimezone()
    near = abs(at_ns - time.time_ns()) < 12 * 3600 * 10**9
    return local.strftime("%H:%M:%S" if near else "%Y-%m-%d %H:%M")


def _show(found: Sequence[Any], rows: Sequence[Sequence[str]], head: Sequence[str], as_json: bool) -> None:
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(found).decode())
        return
    widths = [max(len(str(row[k])) for row in (head, *rows)) for k in range(len(head) - 1)]
    for row in (head, *rows) if rows else ():
        click.echo(
            "  ".join([*(str(cell).ljust(width) for cell, width in zip(row, widths, strict=False)), str(row[-1])])
        )
    if not rows:
        click.echo("none")
