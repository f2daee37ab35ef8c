"""`edgemesh history`: ask the embedded store, take it out, send it to InfluxDB."""

from __future__ import annotations

import functools
import logging
import os
import sys
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from edgemesh.commands import history_options as options
from edgemesh.commands.common import errors, log, sample

if TYPE_CHECKING:  # loaded only when a command runs, so that `edgemesh --help` is quick
    from edgemesh.launch.history import Every, Export, Form, Source, Span
    from edgemesh.launch.history_show import What
    from edgemesh.store.archive import Archive
    from edgemesh.store.curves import Resolution
    from edgemesh.store.forms import Kind

KINDS = ("readings", "1m", "10m", "alerts", "orders")

_EXAMPLES = """\b
Examples
  edgemesh history query my.toml                          the last hour of every series, a table
  edgemesh history query my.toml --metric flow --last 2h  one series: a curve
  edgemesh history query my.toml --asset 'pump-*' --since 2026-05-01 --every 10m --csv > may.csv
  edgemesh history query my.toml --what alerts --last 7d
  edgemesh history export may.parquet my.toml --form parquet --since 2026-05-01
  edgemesh history export - my.toml --form line-protocol | gzip > all.lp.gz
  edgemesh history import --from my.toml                  all of it into its InfluxDB
  edgemesh history import all.lp --to http://influx:8086/edgemesh --org plant
"""


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
@options.selecting
@click.option("--rows", "as_rows", is_flag=True, help="Each reading or roll-up as a line, for people.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV on standard output.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
@errors
def query(place: Path | None, what: What, every: Every, local: bool, since_ns: int | None, until_ns: int | None,
          last_s: float | None, as_rows: bool, as_csv: bool, as_json: bool,
          **names: tuple[str, ...]) -> None:  # fmt: skip
    """Show readings, alerts or work orders of a history.

    One series is drawn as a curve, several are a table with a small curve each; --rows, --csv and --json give each
    reading. Without times it is the last hour, of alerts and orders all.

    PLACE is the configuration of a site (.toml), its data folder, or a recorder's file (default: the demo's); its
    recorder may be running.
    """
    from edgemesh.launch import history as work
    from edgemesh.launch import history_show as show

    log("error")
    if as_csv + as_json + as_rows > 1:
        raise click.UsageError("--rows, --csv and --json exclude each other")
    span = options.span(since_ns, until_ns, last_s, default_s=3_600.0 if what == "readings" else None)
    with work.opened(work.find_source(place or sample("demo.toml"))) as archive:
        selection = span.applied(archive, options.selection(names))
        view = show.View(None if local else UTC, *options.terminal())
        if as_csv or as_json:
            show.write_rows(archive, what, every, selection, sys.stdout, zone=view.zone, csv=as_csv)
            return
        if what != "readings":
            lines = show.view_records(archive, what, selection, view)
        else:
            lines = (show.view_rows if as_rows else show.view_readings)(archive, every, selection, view)
        empty = True
        for line in lines:
            click.echo(line)
            empty = False
        if empty:
            click.echo(show.why_nothing(archive, what, every, selection, view.zone), err=True)


@history.command(epilog=_EXAMPLES)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.argument("place", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--form", type=click.Choice(["csv", "parquet", "line-protocol"]), default="csv", show_default=True,
              help="Parquet needs the extra `parquet`.")  # fmt: skip
@click.option("--what", multiple=True, type=click.Choice(KINDS), help="readings (raw), 1m, 10m, alerts, orders.  "
              "[default: readings; line protocol, where it is repeatable: readings, alerts, orders]")  # fmt: skip
@options.selecting
@click.option("--site", metavar="ID", help="Tag of each line in line protocol.  [default: that of the configuration]")
@errors
def export(file: Path, place: Path | None, form: Form, what: tuple[str, ...], since_ns: int | None,
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
        wanted = _export(archive, source, form, what, site, options.span(since_ns, until_ns, last_s), names)
        begin_ns, end_ns = _extent(archive, wanted)
        with options.bar(file.name if target else "", end_ns - begin_ns) as draw:
            count = work.export(archive, wanted, target, sys.stdout, lambda at_ns: draw(at_ns - begin_ns, ""))
    if target:
        noun = "lines" if form == "line-protocol" else "rows"
        click.echo(f"{target}: {count:,} {noun}, {target.stat().st_size / 1e6:,.1f} MB", err=True)


def _export(
    archive: Archive,
    source: Source,
    form: Form,
    what: tuple[str, ...],
    site: str | None,
    span: Span,
    names: options.Names,
) -> Export:
    from edgemesh.launch import history as work

    lines = form == "line-protocol"
    kinds = what or (("readings", "alerts", "orders") if lines else ("readings",))
    selection = span.applied(archive, options.selection(names))
    stored: dict[str, Resolution] = {"readings": "raw", "1m": "1min", "10m": "10min"}
    series = work.find_series(archive, selection) if set(kinds) & set(stored) and archive.series() else {}
    return work.Export(
        form=form,
        kinds=tuple(stored[kind] if kind in stored else cast("Kind", kind) for kind in kinds),
        series=series,
        selection=selection,
        site=source.site(site) if lines else "",
        max_series=source.max_series,
    )


def _extent(archive: Archive, wanted: Export) -> tuple[int, int]:
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
@options.selecting
@click.option("--site", metavar="ID", help="Tag of each line.  [default: that of the configuration]")
@errors
def import_(file: Path | None, place: Path | None, url: str | None, version: str, org: str, rollup_bucket: str,
            what: tuple[str, ...], since_ns: int | None, until_ns: int | None, last_s: float | None,
            site: str | None, local: bool,  # noqa: ARG001  for _When
            **names: tuple[str, ...]) -> None:  # fmt: skip
    """Send a history, or a FILE that was exported, to InfluxDB.

    FILE is line protocol, or readings as .csv or .parquet.

    What is there already is not there twice: the same point is written again. It goes on where it was interrupted, and
    may run while the recorder does. Secrets come from the environment: INFLUX_TOKEN, or INFLUX_USER and
    INFLUX_PASSWORD for version 1. The server has to have the bucket. Exit status 1: some lines were refused for good.
    """
    from edgemesh.launch import history as work
    from edgemesh.launch import history_import as imports

    log("error")
    _hush("edgemesh.store.influx.sender")  # the end says it all
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
        with options.bar(file.name, imports.file_length(file)) as draw:
            outcome = imports.import_file(file, site, influx, lambda stored, waiting, at: draw(at or 0, waiting))
    else:
        if not what and influx.rollup_bucket:
            what = KINDS
        with work.opened(source) as archive:
            wanted = _export(
                archive, source, "line-protocol", what, site, options.span(since_ns, until_ns, last_s), names
            )
            begin_ns, end_ns = _extent(archive, wanted)
        with options.bar(source.file.name, end_ns - begin_ns) as draw:
            outcome = imports.import_history(
                source, wanted, influx, lambda stored, waiting, at: draw((at or begin_ns) - begin_ns, waiting)
            )
    click.echo(f"{outcome.stored:,} lines stored in bucket {influx.bucket}", err=True)
    if outcome.refused:
        click.echo(f"{outcome.refused:,} lines refused for good: {'; '.join(outcome.reasons)}", err=True)
        sys.exit(1)


def _hush(name: str) -> None:
    """Log nothing of a module that is not critical, until the command ends."""
    logger = logging.getLogger(name)
    click.get_current_context().call_on_close(functools.partial(logger.setLevel, logger.level))
    logger.setLevel(logging.CRITICAL)
