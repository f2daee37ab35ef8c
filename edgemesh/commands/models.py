"""`edgemesh model`: what detectors have learnt, and learning it from recorded data."""

from __future__ import annotations

from pathlib import Path

import click

from edgemesh.commands.common import errors, log, sample

_EXAMPLES = """\b
Examples
  edgemesh model list my.toml                        what the detectors of a site have learnt
  edgemesh model show pump-1 my.toml                 of what, from when, and what is normal
  edgemesh model show pump-1 my.toml --out p.json    the same as a file
  edgemesh model show p.json                         of a file, after checking it
  edgemesh model train my.toml may.csv --asset pump-1 --out p.json
"""
_PLACE = click.argument(
    "place", required=False, metavar="[CONFIG|FOLDER]", type=click.Path(exists=True, path_type=Path)
)


@click.group(epilog=_EXAMPLES)
def model() -> None:
    """List, show and train the models that detectors judge machines by."""


@model.command("list")
@_PLACE
@errors
def list_models(place: Path | None) -> None:
    """List the models of a site: by its configuration (default: the demo's), or its data folder."""
    from edgemesh.launch.models import find_models, listing

    log("error")
    click.echo("\n".join(listing(find_models(place or sample("demo.toml")))))


@model.command()
@click.argument("name", metavar="ASSET|FILE")
@_PLACE
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print its file on standard output.")
@errors
def show(name: str, place: Path | None, out: Path | None, as_json: bool) -> None:
    """Show the model of an asset, or of a file: version, hash, rows, channels and what is normal.

    A file is checked first: whole, unchanged, and of sound numbers.
    """
    from edgemesh.detect.models import read_model
    from edgemesh.errors import InputError
    from edgemesh.launch.models import find_model, open_model, telling

    log("error")
    if Path(name).is_file():
        open_model(Path(name))
        content = Path(name).read_bytes()
    else:
        kept = find_model(place or sample("demo.toml"), name)
        if kept.content is None:
            raise InputError(f"there is no model of {name} yet: {kept.warm_rows} rows so far", source=kept.agent)
        content = kept.content
    if out is not None:
        _write(out, content)
    click.echo(content.decode() if as_json else "\n".join(telling(read_model(content)[0])))


@model.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--asset", required=True, metavar="NAME", help="The asset to learn; for CSV, what the file is of.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@click.option("--version", default=1, show_default=True, type=click.IntRange(1, 2**31 - 1), help="Its version.")
@errors
def train(config: Path, data: Path, asset: str, out: Path, version: int) -> None:
    """Learn the model of an asset from DATA: CSV, or the history of a site, as for `edgemesh backtest`.

    It is learnt from the rows that the detector of CONFIG would learn from: gates, rules and settings count.
    """
    from edgemesh.backtest.training import train as run
    from edgemesh.detect.models import read_model
    from edgemesh.launch.models import telling

    log("error")
    content = run(config, data, asset, version=version)
    _write(out, content)
    click.echo("\n".join(telling(read_model(content)[0])))


def _write(out: Path, content: bytes) -> None:
    """Write a whole file or none. InputError: it can't be written."""
    from edgemesh.errors import InputError

    part = out.with_name(out.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(out)
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", source=str(out)) from error
