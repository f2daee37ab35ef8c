"""`edgemesh model`: what detectors have learnt, and learning it from recorded data."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path

import click

from edgemesh.commands.common import DURATION, errors, log, sample

_EXAMPLES = """\b
Examples
  edgemesh model list my.toml                        what the detectors of a site have learnt
  edgemesh model show pump-1 my.toml                 of what, from when, and what is normal
  edgemesh model show pump-1 my.toml --out p.json    the same as a file
  edgemesh model show p.json                         of a file, after checking it
  edgemesh model train my.toml may.csv --asset pump-1 --out p.json --version 2
  edgemesh model train my.toml p1=may.csv p2=june.csv --class pump --out pump.json
  edgemesh model train my.toml --from-store --class pump --out pump.json
  edgemesh model push pump.json my.toml              every pump tries it, a fifth of them first
  edgemesh model push p.json my.toml                 its detector tries it, then uses it
  edgemesh model push *.json my.toml --share 0.1     the first tenth; if those pass, the rest
  edgemesh model rollback pump-1 my.toml             back to the former version
"""
_PLACE = click.argument(
    "place", required=False, metavar="[CONFIG|FOLDER]", type=click.Path(exists=True, path_type=Path)
)


@click.group(epilog=_EXAMPLES)
def model() -> None:
    """List, show, train and roll out the models that detectors judge machines by."""


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
    from edgemesh.detect.classes.files import read_any
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
    click.echo(content.decode() if as_json else "\n".join(telling(read_any(content))))


@model.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data", nargs=-1, metavar="[DATA...]")
@click.option("--asset", metavar="NAME", help="The asset to learn; for CSV, what the file is of.")
@click.option("--class", "asset_class", metavar="NAME", help="The class to learn, from several of its assets.")
@click.option("--from-store", is_flag=True, help="Learn from the site's own history instead of DATA.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@click.option("--version", default=1, show_default=True, type=click.IntRange(1, 2**31 - 1), help="Its version.")
@click.option(
    "--short-rows",
    default=60,
    show_default=True,
    type=click.IntRange(40, 10_000),
    help="Of a class: so many rows a newcomer needs before it is judged.",
)
@errors
def train(
    config: Path,
    data: tuple[str, ...],
    asset: str | None,
    asset_class: str | None,
    from_store: bool,
    out: Path,
    version: int,
    short_rows: int,
) -> None:
    """Learn the model of an asset or of a class from DATA: CSV, or the history of a site, as for `edgemesh backtest`.

    It is learnt from the rows that the detector of CONFIG would learn from: gates, rules and settings count. For a
    class DATA are several: CSV of one asset each (ASSET=FILE, or a file that is called like it), or histories.
    """
    from edgemesh.backtest.class_training import train_class
    from edgemesh.backtest.training import train as train_asset
    from edgemesh.configuration.loading import load
    from edgemesh.detect.classes.files import read_any
    from edgemesh.launch.models import telling

    log("error")
    if (asset is None) == (asset_class is None):
        raise click.UsageError("give either --asset or --class")
    if from_store == bool(data):
        raise click.UsageError("give either DATA or --from-store")
    data = (str(load(config).data),) if from_store else data
    if asset_class is not None:
        content = train_class(config, data, asset_class, version=version, short_rows=short_rows)
    elif asset is not None and len(data) == 1:
        content = train_asset(config, Path(data[0]), asset, version=version)
    else:
        raise click.UsageError("an asset is learnt from one DATA; several are for --class")
    _write(out, content)
    click.echo("\n".join(telling(read_any(content))))


@model.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE... [CONFIG]", type=click.Path(path_type=Path))
@click.option(
    "--share",
    default=0.2,
    show_default=True,
    type=click.FloatRange(0.0, 1.0),
    help="Of several assets this share goes first; the rest once all of them have passed.",
)
@click.option("--wait", default="1h", show_default=True, type=DURATION, help="Watch for so long how it goes.")
@errors
def push(files: tuple[Path, ...], share: float, wait: float) -> None:
    """Offer models to the detectors of a running site, and show what these say until all are in use.

    FILEs are models, the last may be the site's configuration (.toml; default: the demo's). The model of a class is
    offered to each [[asset]] of that class in the configuration, and each binds its own channels to it. A detector
    tries a model in the shadow of the present one first, then as a canary, and takes the former one back by itself
    where the new one is clearly worse. That goes on when this command ends. Exit status 0: all are in use; 1: one was
    refused or rolled back, or it is not over yet.
    """
    from edgemesh.launch.models import offers_of
    from edgemesh.launch.rollout import Rollout, run_rollout

    log("error")
    config, names = _split(files)
    _finish(run_rollout(config, Rollout(offers_of(config, names), share=share, wait_s=wait), click.echo))


@model.command()
@click.argument("asset")
@click.argument("config", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--wait", default="10s", show_default=True, type=DURATION, help="Wait for so long for its answer.")
@errors
def rollback(asset: str, config: Path | None, wait: float) -> None:
    """Have an asset's detector go back to the model before the present one, or give up one that it is trying."""
    from edgemesh.launch.rollout import Rollout, run_rollout

    log("error")
    _finish(run_rollout(config or sample("demo.toml"), Rollout([(asset, 0, b"")], wait_s=wait), click.echo))


def _split(files: tuple[Path, ...]) -> tuple[Path, tuple[Path, ...]]:
    """The configuration, and the models."""
    if len(files) > 1 and files[-1].suffix == ".toml":
        return files[-1], files[:-1]
    return sample("demo.toml"), files


def _finish(rollout: Coroutine[None, None, bool]) -> None:
    if not asyncio.run(rollout):
        sys.exit(1)


def _write(out: Path, content: bytes) -> None:
    """Write a whole file or none. InputError: it can't be written."""
    from edgemesh.errors import InputError

    part = out.with_name(out.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(out)
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", source=str(out)) from error
