"""Commands that answer a question about data that is there: what would have fired, and why something did."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import click
import msgspec

from edgemesh.commands.common import errors, log, sample

_LATEST_NS = 2**63 - 1
_SAY_EVERY_S = 5.0
_DRAW_EVERY_S = 0.1

_BACKTEST_EXAMPLES = """\b
Examples
  edgemesh backtest configs/skab.toml recordings/                  every CSV in a folder
  edgemesh backtest my.toml data/my/agents/recorder.db             the history of a site
  edgemesh backtest my.toml pump-1.csv --against new.toml          what a change would change
  edgemesh backtest my.toml pump-1.csv --from 2024-05-01 --to 2024-05-02T12:00 --picture may.svg
"""

_WHY_EXAMPLES = """\b
Examples
  edgemesh why 5db6                     the alert of the demo whose id begins like this
  edgemesh why c0ffee                   or the work order
  edgemesh why last my.toml             the newest alert of a site that was started here
  edgemesh why 5db6 kept/               of a data folder, or of a recorder's file
"""


_TRACE_EXAMPLES = """\b
Examples
  edgemesh trace 5db6                   the alert or order of the demo whose id begins like this
  edgemesh trace last my.toml           the newest alert of a site that was started here
  edgemesh trace 5db6 kept/             of a data folder, or of a recorder's file
  edgemesh trace 4bf92f --json          a trace by its own id, for programs
"""


class _Instant(click.ParamType[int]):
    """A time in ISO 8601; without a zone it is UTC."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The instant in ns."""
        from edgemesh.drivers.instants import instant_of

        if isinstance(value, int):
            return value
        try:
            return instant_of(value)
        except ValueError:
            self.fail(f"{value!r} is no time; write it like 2024-05-01T12:00:00Z", param, ctx)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--count", default=20, show_default=True, type=click.IntRange(min=0), help="How many dead letters.")
@errors
def spool(config: Path, count: int) -> None:
    """Show what the recorder of CONFIG holds for InfluxDB, what gave way, and what was refused and why."""
    from edgemesh.configuration.loading import load
    from edgemesh.launch.spool import spool_lines

    log("error")
    click.echo("\n".join(spool_lines(load(config), limit=count)))


@click.command(epilog=_BACKTEST_EXAMPLES)
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--against", type=click.Path(path_type=Path), help="Compare with what this configuration would say.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg|png",
    help="Draw signals, score, threshold, alerts and labels.",
)
@click.option("--from", "begin_ns", type=_Instant(), metavar="TIME", help="Play from here on; ISO 8601, UTC.")
@click.option("--to", "end_ns", type=_Instant(), metavar="TIME", help="Play up to here.")
@click.option("--asset", metavar="NAME", help="What CSV files are of; {stem} and {folder} stand for their names.")
@click.option(
    "--train-rows",
    default=400,
    show_default=True,
    type=click.IntRange(min=0),
    help="Rows at the start of each file that F1, FAR and MAR do not count.",
)
@errors
def backtest(config: Path, data: Path, against: Path | None, as_json: bool, picture: Path | None, begin_ns: int | None,
             end_ns: int | None, asset: str | None, train_rows: int) -> None:  # fmt: skip
    """Say what CONFIG would have made of recorded DATA: alerts, orders, and how true they were.

    DATA is a CSV file, folder or pattern as for `edgemesh replay`, or the history of a site: a recorder's file, or the
    data folder that holds it. It goes through the cores that the agents run, in this process, much faster than it came;
    alerts have the ids that a replay gives them.
    """
    from edgemesh.backtest.picture import check_picture, write_picture
    from edgemesh.backtest.run import BacktestOptions
    from edgemesh.backtest.run import backtest as run
    from edgemesh.backtest.show import answer_lines

    log("error")
    if picture is not None:
        check_picture(picture)
    options = BacktestOptions(
        config=config,
        data=data,
        against=against,
        begin_ns=begin_ns or 0,
        end_ns=_LATEST_NS if end_ns is None else end_ns,
        train_rows=train_rows,
        asset=asset,
        traced=picture is not None,
    )
    with _Progress() as progress:
        answer, traces = run(options, progress.tell)
    if picture is not None:
        write_picture(traces, picture)
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
        return
    click.echo("\n".join(answer_lines(answer)))
    if picture is not None:
        click.echo(f"picture: {picture}")


@click.command(epilog=_WHY_EXAMPLES)
@click.argument("alert")
@click.argument("place", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@errors
def why(alert: str, place: Path | None, as_json: bool) -> None:
    """Print the chain of one ALERT, or of a work order: reading, rule or model, alert, order, dispatch, answers,
    verification.

    The beginning of the id is enough; `last` is the newest alert. Of an order it says who was asked, what they said and
    who signed, with the entries of the audit (in --json: what each decision went by). Of an alert it says which sensors
    were off, by how much, what was normal, since when, and draws them around the onset.

    PLACE is the configuration of a site (.toml), its data folder, or a recorder's file (default: the demo's); its
    recorder may be running.
    """
    from edgemesh.console.why_order import OrderWhy
    from edgemesh.launch.why import find_history, lines_of
    from edgemesh.launch.why_order import order_lines, why_any

    log("error")
    told = why_any(alert, find_history(place or sample("demo.toml")))
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
        return
    fine = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    width = shutil.get_terminal_size((80, 24)).columns
    if isinstance(told, OrderWhy):
        click.echo("\n".join(order_lines(told, width=width, fine=fine)))
    else:
        click.echo("\n".join(lines_of(told, width=width, fine=fine)))


@click.command(epilog=_TRACE_EXAMPLES)
@click.argument("name", metavar="ALERT|ORDER|TRACE")
@click.argument("place", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@errors
def trace(name: str, place: Path | None, as_json: bool) -> None:
    """Draw how long each stage took: sample, commit, publish, receive, score, alert, triage, dispatch, answer, work.

    The beginning of an id is enough; `last` is the newest alert. What leads to the dispatch and what comes of it have
    an axis of their own.

    PLACE is the configuration of a site (.toml), its data folder, or a recorder's file (default: the demo's); its
    recorder may be running.
    """
    from edgemesh.launch.trace import lines_of
    from edgemesh.launch.trace import trace as gather
    from edgemesh.launch.why import find_history

    log("error")
    told = gather(name, find_history(place or sample("demo.toml")))
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
        return
    fine = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    click.echo("\n".join(lines_of(told, width=shutil.get_terminal_size((80, 24)).columns, fine=fine)))


class _Progress:
    """A bar on a terminal, else a line now and then; both on standard error, one for each configuration."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._said_s = time.monotonic()
        self._name = ""
        self._bar: click._termui_impl.ProgressBar[int] | None = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def tell(self, name: str, done: int, of: int) -> None:
        """So many readings of about so many were played."""
        if name != self._name:
            self._close()
            self._name = name
            if self._terminal:
                self._bar = click.progressbar(length=of, label=name, file=sys.stderr, show_pos=True)
                self._bar.__enter__()
        now_s = time.monotonic()
        if now_s - self._said_s < (_DRAW_EVERY_S if self._terminal else _SAY_EVERY_S) and done < of:
            return
        self._said_s = now_s
        if self._bar is not None:
            self._bar.update(min(done, of) - self._bar.pos)
        elif done < of:
            click.echo(f"{name}: {100 * done // of} % played", err=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
