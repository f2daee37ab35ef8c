"""`edgemesh audit`: the chain of what the scheduler has decided."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from edgemesh.commands.common import errors, log, sample

_PLACE = click.argument("place", required=False, type=click.Path(path_type=Path))

_VERIFY_EXAMPLES = """\b
Examples
  edgemesh audit verify my.toml                     is it whole, and is it what the orders say?
  edgemesh audit verify my.toml --head 1204:9f…     and does it still pass through what was noted?
"""


@click.group()
def audit() -> None:
    """Show what the scheduler decided and why, and check that nobody has changed it since."""


@audit.command(epilog=_VERIFY_EXAMPLES)
@_PLACE
@click.option("--history", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A recorder's file to hold it against.  [default: those of PLACE]")  # fmt: skip
@click.option("--head", default="", metavar="SEQ:HASH", help="A head that was noted earlier, elsewhere.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@errors
def verify(place: Path | None, history: Path | None, head: str, as_json: bool) -> None:
    """Find entries of PLACE's audit that were deleted, edited, moved or cut, and say which.

    PLACE is the configuration of a site (.toml), its data folder, or a scheduler's file (default: the demo's); its
    scheduler may be running. Exit status 1 when anything is wrong.
    """
    from edgemesh.launch.audit import data_of, verdict_lines
    from edgemesh.launch.audit import verify as check

    log("error")
    answers = check(data_of(place or sample("demo.toml")), history=history, head=head)
    whole = not any(answer.faults for answer in answers)
    if as_json:
        click.echo(msgspec.json.encode({"whole": whole, "audits": answers}).decode())
    else:
        click.echo("\n".join(verdict_lines(answers)))
    sys.exit(0 if whole else 1)


@audit.command()
@_PLACE
@click.option("--order", default="", metavar="ID", help="Of the orders whose id begins like this.")
@click.option("--count", default=50, show_default=True, type=click.IntRange(min=1), help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line on standard output.")
@errors
def show(place: Path | None, order: str, count: int, as_json: bool) -> None:
    """Print the decisions of PLACE, oldest first.

    PLACE is the configuration of a site (.toml), its data folder, or a scheduler's file (default: the demo's).
    """
    from edgemesh.launch.audit import data_of, decision_lines
    from edgemesh.launch.audit import show as find

    log("error")
    told = find(data_of(place or sample("demo.toml")), order=order, limit=count)
    lines = [msgspec.json.encode(each).decode() for each in told] if as_json else decision_lines(told)
    click.echo("\n".join(lines) if lines or as_json else "no decision is held of that")
