"""`edgemesh history`: ask the embedded store, take it out, send it to InfluxDB."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, TypeVar

import click

from edgemesh.commands.common import errors, log, sample
from edgemesh.model.settings import Seconds

F = TypeVar("F", bound=Callable[..., Any])
DRAW_EVERY_S = 0.2
KINDS = ("readings", "1m", "10m", "alerts", "orders")

_EXAMPLES = """\b
Examples
  edgemesh history query my.toml                          the last hour of every series, as a table
  edgemesh history query my.toml --metric flow --last 2h  one series: a curve
  edgemesh history query my.toml --asset 'pump-*' --since 2026-05-01 --every 10m --csv > may.csv
  edgemesh history query my.toml --what alerts --last 7d
  edgemesh history export may.parquet my.toml --form parquet --since 2026-05-01 --until 2026-06-01
  edgemesh history export - my.toml --form line-protocol | gzip > all.lp.gz
  edgemesh history import --from my.toml                  all of it into the InfluxDB of [influxdb]
  edgemesh history import all.lp --to http://influx:8086/edgemesh --org plant
"""
_PLACE_HELP = """PLACE is the configuration of a site (.toml), its data folder, or a recorder's file; without it, the
    demo's. It may be read while the recorder runs."""


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


def _selecting(function: F) -> F:
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


@click.group(epilog=_EXAMPLES)
def history() -> None:
    """Ask what the embedded store has kept, take it out, or send it to InfluxDB.

    It holds readings (6 h), their roll-ups of a minute (30 d) and of ten minutes (2 years), alerts and work orders;
    [recorder] says for how long. Times are UTC unless --local is given.
    """


@history.command(epilog=_EXAMPLES)
@click.argument("place", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--what", type=click.Choice(["readings", "alerts", "orders"]), default="readings", show_default=True,
              help="What is asked for.")  # fmt: skip
@click.option("--every", type=click.Choice(["auto", "raw", "1m", "10m"]), default="auto", show_default=True,
              help="Raw readings, or roll-ups. auto: by the length of the time, and what is still kept.")  # fmt: skip
@_selecting
@click.option("--rows", "as_rows", is_flag=True, help="Each reading or roll-up as a line, for people.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV on standard output.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
@errors
def query(place: Path | None, what: str, every: str, local: bool, since_ns: int | None, until_ns: int | None,
          last_s: float | None, as_rows: bool, as_csv: bool, as_json: bool,
          **names: tuple[str, ...]) -> None:  # fmt: skip
    """Show readings, alerts or work orders of a history.

    One series is drawn as a curve, several are a table with a small curve each; --rows, --csv and --json give each
    reading. Without times it is the last hour, of alerts and orders all.

    PLACE is the configuration of a site (.toml), its data folder, or a recorder's file (default: the demo's); its
    recorder may be running.
    """
    from edgemesh.launch import history as work

    log("error")
    if as_csv + as_json + as_rows > 1:
        raise click.UsageError("--rows, --csv and --json exclude each other")
    span = _span(since_ns, until_ns, last_s, default_s=3_600.0 if what == "readings" else None)
    with work.opened(work.find_source(place or sample("demo.toml"))) as archive:
        selection = span.applied(archive, _selection(names))
        zone = None if local else UTC
        if as_csv or as_json or as_rows or what != "readings":
            _print_rows(archive, what, every, selection, zone, (as_csv, as_json))
        else:
            _print_series(archive, every, selection, zone)


def _print_series(archive: Any, every: Any, selection: Any, zone: tzinfo | None) -> None:
    from edgemesh.launch import history as work
    from edgemesh.launch import history_text as text

    series = work.find_series(archive, selection)
    resolution = work.choose(archive, every, selection)
    width, fine = _terminal()
    strip = text.STRIP if len(series) > 1 else max(20, min(100, width) - text.LABEL - 1)
    strips = text.take_strips(archive, resolution, series, selection, strip)
    if not strips:
        _say_empty(archive, resolution, zone)
        return
    for line in text.series_lines(strips, series, resolution, zone=zone, width=width, fine=fine):
        click.echo(line)


def _print_rows(
    archive: Any, what: str, every: Any, selection: Any, zone: tzinfo | None, form: tuple[bool, bool]
) -> None:
    from edgemesh.launch import history as work
    from edgemesh.launch import history_text as text
    from edgemesh.store import forms

    series = work.find_series(archive, selection) if what == "readings" else {}
    kind: Any = work.choose(archive, every, selection) if what == "readings" else what
    found = forms.rows(archive, kind, series, selection)
    if any(form):
        make = forms.csv_writer if form[0] else forms.json_writer
        write = make(sys.stdout, forms.COLUMNS[kind], zone)
        for group in forms.in_groups(found, 1_000):
            write(group)
        return
    first = next(found, None)
    if first is None:
        _say_empty(archive, kind, zone)
        return
    width, _ = _terminal()
    lines: Iterator[str]
    if what == "alerts":
        lines = text.alert_lines((first, *found), zone, width)
    elif what == "orders":
        lines = text.order_lines((first, *found), zone, width)
    else:
        click.echo(text.row_lines([first], kind, zone).__next__())
        lines = text.row_lines(found, kind, zone)
    for line in lines:
        click.echo(line)


def _say_empty(archive: Any, kind: str, zone: tzinfo | None) -> None:
    from edgemesh.store.forms import instant_text

    if kind in ("alerts", "orders"):
        click.echo(f"no {kind} in this time", err=True)
        return
    newest_ns, oldest_ns = archive.newest_ns(), archive.oldest_ns(kind)
    if newest_ns is None:
        click.echo("the history holds no readings yet", err=True)
        return
    second = 10**9
    begin = instant_text((oldest_ns or 0) // second * second, zone) if oldest_ns is not None else "nothing"
    word = {"raw": "raw readings are", "1min": "minutes are", "10min": "ten minutes are"}[kind]
    click.echo(
        f"nothing in this time: {word} kept from {begin}, and the newest reading is of"
        f" {instant_text(newest_ns // second * second, zone)} (--every 10m reaches back farthest)",
        err=True,
    )


@history.command(epilog=_EXAMPLES)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.argument("place", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--form", type=click.Choice(["csv", "parquet", "line-protocol"]), default="csv", show_default=True,
              help="Parquet needs the extra `parquet`.")  # fmt: skip
@click.option("--what", multiple=True, type=click.Choice(KINDS), help="readings (raw), 1m, 10m, alerts, orders.  "
              "[default: readings; line protocol, where it is repeatable: readings, alerts, orders]")  # fmt: skip
@_selecting
@click.option("--site", metavar="ID", help="Tag of each line in line protocol.  [default: that of the configuration]")
@errors
def export(file: Path, place: Path | None, form: Any, what: tuple[str, ...], since_ns: int | None,
           until_ns: int | None, last_s: float | None, site: str | None, local: bool,  # noqa: ARG001  for _When
           **names: tuple[str, ...]) -> None:  # fmt: skip
    """Write what a history holds into FILE, or onto standard output for `-`.

    FILE is whole or not there. Times in it are UTC, to the nanosecond. Line protocol is what the recorder writes into
    InfluxDB for the same data, but for `late`.
    """
    from edgemesh.errors import InputError
    from edgemesh.launch import history as work

    log("error")
    if form != "line-protocol" and len(what) > 1:
        raise click.UsageError(f"one {form} file holds one kind; give one --what")
    target = None if str(file) == "-" else file
    if form == "parquet":
        if target is None:
            raise InputError("goes into a file only", source="parquet", wish="name one instead of -")
        import edgemesh.store.parquet  # noqa: F401  whether it is there is said before work begins
    source = work.find_source(place or sample("demo.toml"))
    with work.opened(source) as archive:
        wanted = _export(archive, source, form, what, site, _span(since_ns, until_ns, last_s), names)
        begin_ns, end_ns = _extent(archive, wanted)
        with _bar(file.name if target else "", end_ns - begin_ns) as draw:
            count = work.export(archive, wanted, target, sys.stdout, lambda at_ns: draw(at_ns - begin_ns, ""))
    if target:
        noun = "lines" if form == "line-protocol" else "rows"
        click.echo(f"{target}: {count:,} {noun}, {target.stat().st_size / 1e6:,.1f} MB", err=True)


def _export(
    archive: Any, source: Any, form: Any, what: tuple[str, ...], site: str | None, span: Any, names: Any
) -> Any:
    from edgemesh.launch import history as work

    lines = form == "line-protocol"
    kinds = what or (("readings", "alerts", "orders") if lines else ("readings",))
    selection = span.applied(archive, _selection(names))
    stored: Any = {"readings": "raw", "1m": "1min", "10m": "10min"}
    series = work.find_series(archive, selection) if set(kinds) & set(stored) and archive.series() else {}
    return work.Export(
        form=form,
        kinds=tuple(stored.get(kind, kind) for kind in kinds),
        series=series,
        selection=selection,
        site=source.site(site) if lines else "",
        max_series=source.max_series,
    )


def _extent(archive: Any, wanted: Any) -> tuple[int, int]:
    """From when until when there is something, for a bar."""
    kinds = [kind for kind in wanted.kinds if kind in ("raw", "1min", "10min")]
    oldest = [at_ns for kind in kinds if (at_ns := archive.oldest_ns(kind)) is not None]
    begin_ns = max(wanted.selection.start_ns, min(oldest, default=0))
    return begin_ns, max(begin_ns + 1, min(wanted.selection.end_ns, (archive.newest_ns() or 0) + 1))


@history.command("import", epilog=_EXAMPLES)
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from", "place", metavar="PLACE", type=click.Path(exists=True, path_type=Path),
              help="Instead of FILE: a configuration, a data folder or a recorder's file.")  # fmt: skip
@click.option("--to", "url", metavar="URL/BUCKET", help="Like http://influx:8086/edgemesh; for 1.x URL/DATABASE or "
              "URL/DATABASE/POLICY.  [default: the [influxdb] of PLACE]")  # fmt: skip
@click.option("--influx", "version", type=click.Choice(["1", "2", "3"]), default="2", show_default=True,
              help="Version of the server at --to.")  # fmt: skip
@click.option("--org", default="", metavar="NAME", help="Organisation that owns the bucket (version 2).")
@click.option("--rollup-bucket", default="", metavar="BUCKET", help="Where roll-ups go.  [default: as the rest]")
@click.option("--what", multiple=True, type=click.Choice(KINDS), help="With --from. Repeatable.  "
              "[default: readings, alerts, orders; and 1m, 10m where there is a bucket for roll-ups]")  # fmt: skip
@_selecting
@click.option("--site", metavar="ID", help="Tag of each line.  [default: that of the configuration]")
@errors
def import_(file: Path | None, place: Path | None, url: str | None, version: str, org: str, rollup_bucket: str,
            what: tuple[str, ...], since_ns: int | None, until_ns: int | None, last_s: float | None,
            site: str | None, local: bool,  # noqa: ARG001  for _When
            **names: tuple[str, ...]) -> None:  # fmt: skip
    """Send a history, or a FILE in line protocol, to InfluxDB.

    What is there already is not there twice: the same point is written again. It goes on where it was interrupted, and
    may run while the recorder does. Secrets come from the environment: INFLUX_TOKEN, or INFLUX_USER and
    INFLUX_PASSWORD for version 1. The server has to have the bucket. Exit status 1: some lines were refused for good.
    """
    from edgemesh.launch import history as work
    from edgemesh.launch import history_import as imports

    log("critical")
    if (file is None) == (place is None):
        raise click.UsageError("give either FILE or --from PLACE")
    if file and (what or since_ns or until_ns or last_s or any(names.values())):
        raise click.UsageError("a FILE is sent whole; what of a history is sent can be chosen with --from")
    source = work.find_source(place) if place else None
    if url:
        influx = imports.read_target(
            url, version=int(version), org=org, environment=os.environ, rollup_bucket=rollup_bucket
        )
    else:
        settings = source.settings if source else None
        influx = imports.need_influx(settings.influxdb if settings else None, place or Path("--to"))
    if source is None:
        assert file is not None
        with _bar(file.name, file.stat().st_size) as draw:
            outcome = imports.import_file(file, influx, lambda stored, waiting, at: draw(at or 0, waiting))
    else:
        if not what and influx.rollup_bucket:
            what = KINDS
        with work.opened(source) as archive:
            wanted = _export(archive, source, "line-protocol", what, site, _span(since_ns, until_ns, last_s), names)
            begin_ns, end_ns = _extent(archive, wanted)
        with _bar(source.file.name, end_ns - begin_ns) as draw:
            outcome = imports.import_history(
                source, wanted, influx, lambda stored, waiting, at: draw((at or begin_ns) - begin_ns, waiting)
            )
    click.echo(f"{outcome.stored:,} lines stored in bucket {influx.bucket}", err=True)
    if outcome.refused:
        click.echo(f"{outcome.refused:,} lines refused for good: {'; '.join(outcome.reasons)}", err=True)
        sys.exit(1)


def _span(since_ns: int | None, until_ns: int | None, last_s: float | None, *, default_s: float | None = None) -> Any:
    from edgemesh.launch.history import Span

    if since_ns is not None and last_s is not None:
        raise click.UsageError("--since and --last exclude each other")
    if since_ns is None and until_ns is None and last_s is None:
        last_s = default_s
    return Span(since_ns, until_ns, last_s)


def _selection(names: dict[str, tuple[str, ...]]) -> Any:
    from edgemesh.store.archive import Selection

    return Selection(**names)  # type: ignore[arg-type]  # only names are given


def _terminal() -> tuple[int, bool]:
    """Its width, and whether it can show finer signs than ASCII."""
    fine = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return shutil.get_terminal_size((100, 24)).columns, fine


@contextmanager
def _bar(name: str, length: int) -> Iterator[Callable[[int, str], None]]:
    """A bar on a terminal, nothing anywhere else; it is told how far it is, and why it waits."""
    if not name or not sys.stderr.isatty():
        yield lambda done, waiting: None
        return
    said_s = time.monotonic()
    told = ""
    with click.progressbar(length=max(1, length), label=name, file=sys.stderr) as bar:

        def draw(done: int, waiting: str) -> None:
            nonlocal said_s, told
            if waiting and waiting != told:
                click.echo(f"\nwaiting: {waiting}", err=True)
            told = waiting
            if time.monotonic() - said_s >= DRAW_EVERY_S or done >= length:
                said_s = time.monotonic()
                bar.update(max(0, min(done, length) - bar.pos))

        yield draw
