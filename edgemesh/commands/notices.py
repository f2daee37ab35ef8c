"""`edgemesh notices`: what went out, what waits, what was refused, and the tickets of orders."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from edgemesh.commands.common import errors, log, sample

_EXAMPLES = """\b
Examples
  edgemesh notices my.toml                    how each channel stands, and its dead letters
  edgemesh notices my.toml --order c0ff…      what became of one order's events, and its tickets
"""


@click.command(epilog=_EXAMPLES)
@click.argument("place", required=False, type=click.Path(path_type=Path))
@click.option("--order", default="", metavar="ID", help="Of this order (or alert), by its whole id.")
@click.option("--count", default=20, show_default=True, type=click.IntRange(min=1), help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@errors
def notices(place: Path | None, order: str, count: int, as_json: bool) -> None:
    """Show how the notices and tickets of PLACE stand: what waits, what went out, what was refused.

    PLACE is the configuration of a site (.toml), or its data folder (default: the demo's); it may be running.
    """
    from edgemesh.launch.audit import data_of
    from edgemesh.launch.notices_show import find, lines_of

    log("error")
    told = find(data_of(place or sample("demo.toml")), subject=order, limit=count)
    click.echo(msgspec.json.encode(told).decode() if as_json else "\n".join(lines_of(told)))
