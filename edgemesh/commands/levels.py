"""`edgemesh log-level`: what an agent of a running site logs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from edgemesh.commands.common import BROKER, DURATION, SITE, errors, log, sample

LEVELS = ["debug", "info", "warning", "error", "usual"]


@click.command("log-level")
@click.argument("agent")
@click.argument("level", type=click.Choice(LEVELS), metavar="LEVEL")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option(
    "--for", "for_s", type=DURATION, metavar="DURATION", help="Go back after so long, like 10min; at most 7d."
)
@BROKER
@SITE
@errors
def log_level(
    agent: str, level: str, config: Path | None, for_s: float | None, broker: str | None, site: str | None
) -> None:
    """Have AGENT of a running site log what is at least of LEVEL: debug, info, warning, error, or usual: as it began.

    Without --for it stays so until the agent is started again. CONFIG defaults to the demo's.
    """
    from edgemesh.launch.levels import change_level
    from edgemesh.model.commands import MOST_S, LogLevel
    from edgemesh.model.ids import is_id

    log("error")
    if not is_id(agent):
        raise click.BadParameter(f"{agent!r} is no name of an agent", param_hint="AGENT")
    if for_s is not None and not 0.0 < for_s <= MOST_S:
        raise click.BadParameter("more than nothing, and 7d at most", param_hint="--for")
    place, length_s = config or sample("demo.toml"), float(for_s or 0.0)
    click.echo(asyncio.run(change_level(place, broker, site, agent, LogLevel(level), for_s=length_s)))
