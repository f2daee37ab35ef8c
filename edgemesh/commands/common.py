"""What all commands share: how errors are said, where samples lie, what is logged."""

from __future__ import annotations

import functools
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

import edgemesh
from edgemesh.errors import BusUnavailable, ConfigError, EdgemeshError, InputError
from edgemesh.health.logs import Form, LogOutput
from edgemesh.model.settings import Seconds

F = TypeVar("F", bound=Callable[..., Any])

EXTRAS = {
    "numpy": "detector",
    "sklearn": "detector",
    "aiohttp": "console",
    "resvg_py": "picture",
    "rich": "terminal",
    "amqtt": "broker",
    "influxdb_client": "influx",
    "pyarrow": "parquet",
    "aiomqtt": "sim",
    "river": "river",
}
"""The extra that brings a module that not every agent needs."""


class Duration(click.ParamType[float]):
    """A duration with its unit, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        if isinstance(value, float):
            return value
        try:
            return Seconds.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()


def errors(function: F) -> F:
    """Say what is wrong in one line: status 2 for what the person can mend in file or call, 1 for the rest."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (ConfigError, InputError, BusUnavailable) as error:
            click.echo(f"edgemesh: {error}", err=True)
            sys.exit(2)
        except EdgemeshError as error:
            click.echo(f"edgemesh: {error}", err=True)
            sys.exit(1)
        except ModuleNotFoundError as error:
            extra = EXTRAS.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            click.echo(
                f"edgemesh: this needs an extra that is not installed: pip install 'edgemesh[{extra}]'", err=True
            )
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)

    return wrapped  # type: ignore[return-value]


BROKER = click.option("--broker", metavar="URL", help="mqtt://[user:password@]host[:port]  [default: that of CONFIG]")
SITE = click.option("--site", help="Site id.  [default: that of CONFIG]")
BY = click.option("--by", metavar="NAME", help="Who says so.  [default: your login]")


def person(by: str | None) -> str:
    """Who says something: the name that was given, or that of the login. InputError: nobody knows."""
    try:
        return by or getpass.getuser()[:64]
    except (KeyError, OSError):
        raise InputError("nobody knows your login", wish="say who you are with --by") from None


def sample(name: str) -> Path:
    """The path of a configuration that comes with edgemesh: beside the package in a checkout, inside it in a wheel."""
    package = Path(edgemesh.__file__).parent
    checkout = package.parent / "configs" / name
    return checkout if checkout.exists() else package / "configs" / name


def log(level: str, *, quiet: bool = False, form: Form = "human") -> LogOutput:
    """Have the program say on standard error what is at least of this level; `quiet`: errors only."""
    output = LogOutput("error" if quiet else level, form)
    output.install()
    return output
