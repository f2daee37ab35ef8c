"""What the commands of `edgemesh history` share: which series, from when until when, and a bar."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgemesh.model.settings import Seconds

if TYPE_CHECKING:
    from edgemesh.launch.history import Span
    from edgemesh.store.archive import Selection

F = TypeVar("F", bound=Callable[..., Any])
Names = dict[str, tuple[str, ...]]
"""Patterns by what they are of, as the options give them."""
DRAW_EVERY_S = 0.2


class _When(click.ParamType[int]):
    """An instant in ISO 8601 as ns; without a zone it is UTC, or with --local of this machine."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The instant."""
        from edgemesh.drivers.instants import instant_of

        if isinstance(value, int):
            return value
        try:
            local = ctx is not None and ctx.params.get("local")
            moment = datetime.fromisoformat(str(value).strip())
            if moment.tzinfo is None:
                moment = moment.astimezone(None) if local else moment.replace(tzinfo=UTC)
            return instant_of(moment.isoformat())
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is no time; write it like 2026-05-01, 2026-05-01T12:00 or …T12:00:00Z", param, ctx)


class _Length(click.ParamType[float]):
    """A duration with its unit, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        try:
            return value if isinstance(value, float) else Seconds.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def selecting(function: F) -> F:
    """The options that say what of a history is meant."""
    for option in reversed(
        (
            click.option(
                "--asset", "assets", multiple=True, metavar="NAME", help="Name or pattern: 'pump-*'. Repeatable."
            ),
            click.option("--device", "devices", multiple=True, metavar="NAME", help="The same for devices."),
            click.option("--metric", "metrics", multiple=True, metavar="NAME", help="The same for metrics."),
            click.option("--gateway", "gateways", multiple=True, metavar="NAME", help="The same for gateways."),
            click.option("--local", is_flag=True, is_eager=True, help="Times are of this machine's zone, not UTC."),
            click.option("--since", "since_ns", type=_When(), metavar="TIME", help="From here on; ISO 8601."),
            click.option("--until", "until_ns", type=_When(), metavar="TIME", help="Up to here."),
            click.option(
                "--last",
                "last_s",
                type=_Length(),
                metavar="DURATION",
                help="So long back from the newest reading, or from --until: 90s, 30min, 2h, 7d.",
            ),
        )
    ):
        function = option(function)
    return function


def span(since_ns: int | None, until_ns: int | None, last_s: float | None, *, default_s: float | None = None) -> Span:
    """The time that is asked for; without any the last `default_s`. UsageError when it is said twice."""
    from edgemesh.launch.history import Span

    if since_ns is not None and last_s is not None:
        raise click.UsageError("--since and --last exclude each other")
    if since_ns is None and until_ns is None and last_s is None:
        last_s = default_s
    return Span(since_ns, until_ns, last_s)


def selection(names: Names) -> Selection:
    """The names that are asked for, at any time."""
    from edgemesh.store.archive import Selection

    return Selection(**names)  # type: ignore[arg-type]  # only names are given


def terminal() -> tuple[int, bool]:
    """Its width, and whether it can show finer signs than ASCII."""
    fine = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return shutil.get_terminal_size((100, 24)).columns, fine


@contextmanager
def bar(name: str, length: int) -> Iterator[Callable[[int, str], None]]:
    """A bar on a terminal, nothing anywhere else; it is told how far it is, and why it waits."""
    if not name or not sys.stderr.isatty():
        yield lambda done, waiting: None
        return
    said_s = time.monotonic()
    told = ""
    with click.progressbar(length=max(1, length), label=name, file=sys.stderr) as drawn:

        def draw(done: int, waiting: str) -> None:
            nonlocal said_s, told
            if waiting and waiting != told:
                click.echo(f"\nwaiting: {waiting}", err=True)
            told = waiting
            if time.monotonic() - said_s >= DRAW_EVERY_S or done >= length:
                said_s = time.monotonic()
                drawn.update(max(0, min(done, length) - drawn.pos))

        yield draw
