"""`edgemesh notices`: what went out, what waits, what was refused, and the tickets of orders."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from edgemesh.commands.common import errors, log

_EXAMPLES = """\b
Examples
  edgemesh notices data/plant                 how each channel stands, and its dead letters
  edgemesh notices data/plant --order c0ff…   what became of one order's events, and its tickets
"""


@click.command(epilog=_EXAMPLES)
@click.argument("folder", required=False, default=Path("data/demo"), type=click.Path(exists=True, path_type=Path))
@click.option("--order", default="", metavar="ID", help="Of this order (or alert), by its whole id.")
@click.option("--count", default=20, show_default=True, type=click.IntRange(min=1), help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@errors
def notices(folder: Path, order: str, count: int, as_json: bool) -> None:
    """Show how the notices and tickets of FOLDER stand (a data folder; default: the demo's)."""
    from edgemesh.launch.notices_show import find, lines_of

    log("error")
    told = find(folder, subject=order, limit=count)
    click.echo(msgspec.json.encode(told).decode() if as_json else "\n".join(lines_of(told)))
