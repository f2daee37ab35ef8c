"""`edgemesh backup`: the copies of agents' logs, and putting one back."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from edgemesh.commands.common import errors, log

_EXAMPLES = """\b
Examples
  edgemesh backup list my.toml                     which copies there are, and how old
  edgemesh backup verify my.toml                   the same, each read through
  edgemesh backup restore scheduler my.toml        the newest one in place of its log
"""
_CONFIG = click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_FOLDER = click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Where they are.  [default: [backup] of CONFIG]"
)


@click.group(epilog=_EXAMPLES)
def backup() -> None:
    """Look at the copies of agents' logs, and put one back.

    Agents that run take them by themselves where CONFIG has a section [backup] with a folder.
    """


@backup.command("list")
@_CONFIG
@_FOLDER
@errors
def list_copies(config: Path, folder: Path | None) -> None:
    """List the copies of the agents of CONFIG, newest first. Exit status 1: an agent has none."""
    _show(config, folder, proving=False)


@backup.command()
@_CONFIG
@_FOLDER
@errors
def verify(config: Path, folder: Path | None) -> None:
    """Read each copy through, row by row. Exit status 1: an agent has no sound one."""
    _show(config, folder, proving=True)


@backup.command()
@click.argument("agent")
@_CONFIG
@_FOLDER
@click.option("--number", type=click.IntRange(1), help="Which copy.  [default: the newest]")
@errors
def restore(agent: str, config: Path, folder: Path | None, number: int | None) -> None:
    """Put a copy of the log of AGENT back; the agent must not run.

    The former file is kept beside it. The agent finds that the log is an older one and goes on under a new epoch:
    readers take what it has since as new, nobody skips a row.
    """
    from edgemesh.configuration.loading import load
    from edgemesh.launch.backup import backup_folder
    from edgemesh.launch.backup import restore as put_back

    log("error")
    configuration = load(config)
    click.echo("\n".join(put_back(configuration, backup_folder(configuration, folder), agent, number)))


def _show(config: Path, folder: Path | None, *, proving: bool) -> None:
    from edgemesh.configuration.loading import load
    from edgemesh.launch.backup import backup_folder, backup_lines

    log("error")
    configuration = load(config)
    place = backup_folder(configuration, folder)
    lines, good = backup_lines(configuration, place, proving=proving, now_ns=time.time_ns())
    click.echo("\n".join(lines))
    if not good:
        sys.exit(1)
