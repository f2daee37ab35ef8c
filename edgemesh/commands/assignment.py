"""`edgemesh assign` and `edgemesh dispatch explain`: who gets an order."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import click

from edgemesh.commands.common import BROKER, BY, SITE, errors, log, person, sample

_ORDER = re.compile(r"[0-9a-f]{4,32}")


def _order(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """An order id, or its beginning, as people type it."""
    found = value.replace("-", "").lower()
    if _ORDER.fullmatch(found) is None:
        raise click.BadParameter(f"{value!r} is no id of an order, nor the beginning of one (4 of 0-9 a-f at least)")
    return found


@click.command()
@click.argument("order", callback=_order)
@click.argument("executor")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@BY
@BROKER
@SITE
@errors
def assign(
    order: str, executor: str, config: Path | None, by: str | None, broker: str | None, site: str | None
) -> None:
    """Have the scheduler give ORDER to EXECUTOR, whoever has it now.

    ORDER is an id or its beginning. Only an order that nobody has begun can be given, only to somebody who is able, up
    and has room; off shift is allowed. CONFIG defaults to the demo's.
    """
    from edgemesh.launch.assignment import assign_order
    from edgemesh.model.ids import is_id

    log("error")
    if not is_id(executor):
        raise click.BadParameter(f"{executor!r} is no name of an executor", param_hint="EXECUTOR")
    place = config or sample("demo.toml")
    click.echo(asyncio.run(assign_order(place, broker, site, order, executor, person(by))))


@click.group()
def dispatch() -> None:
    """Who gets which order."""


@dispatch.command()
@click.argument("order", callback=_order)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@BROKER
@SITE
@errors
def explain(order: str, config: Path | None, as_json: bool, broker: str | None, site: str | None) -> None:
    """Say who would get ORDER now, and why; nothing changes.

    ORDER is an id or its beginning. The scheduler of the running site answers. CONFIG defaults to the demo's.
    """
    import msgspec

    from edgemesh.launch.assignment import explain_order, explanation_lines

    log("error")
    told = asyncio.run(explain_order(config or sample("demo.toml"), broker, site, order))
    click.echo(msgspec.json.encode(told).decode() if as_json else "\n".join(explanation_lines(told)))
