"""The command line: thin. Every command hands over to `edgemesh.launch`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

import edgemesh
from edgemesh.commands.assignment import assign, dispatch
from edgemesh.commands.audit import audit
from edgemesh.commands.backup import backup
from edgemesh.commands.common import BROKER, EXTRAS, SITE, sample
from edgemesh.commands.common import errors as _errors
from edgemesh.commands.common import log as _log
from edgemesh.commands.history import history
from edgemesh.commands.levels import log_level
from edgemesh.commands.models import model
from edgemesh.commands.notices import notices
from edgemesh.commands.questions import backtest, spool, trace, why
from edgemesh.commands.standing import ack, orders, review, silence
from edgemesh.commands.standing import alerts as standing_alerts
from edgemesh.errors import InputError
from edgemesh.health.logs import Form

F = TypeVar("F", bound=Callable[..., Any])

EPILOG = """\b
Begin with
  edgemesh demo                                the whole loop on simulated machines
  edgemesh replay FOLDER                       recorded CSV through the same agents
  edgemesh backtest my.toml FOLDER             what would have fired, and a picture of it
  edgemesh check my.toml && edgemesh run my.toml
"""


class _Ordered(click.Group):
    """Commands in the order in which people need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_Ordered, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(edgemesh.__version__, prog_name="edgemesh")
def main() -> None:
    """Edgemesh watches machines: reading, anomaly, one alert, one work order, the right person, verified.

    Light agents on edge gateways publish readings over MQTT; detectors find what is wrong; a scheduler hands work
    orders to those who can do them; the same sensors check the repair.
    """


def _metrics_port(default: str) -> Callable[[F], F]:
    return click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        help=f"Serve /metrics, /healthz and /readyz on this port; 0: any free one.  [default: {default}]",
    )


@main.command()
@click.option(
    "--for", "for_s", type=click.FloatRange(min=1.0), metavar="SECONDS", help="End after so long.  [default: Ctrl-C]"
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object at the end, and nothing else, on standard output."
)
@click.option("--seed", default=7, show_default=True, help="Which faults come when follows from it.")
@click.option(
    "--broker",
    default="embedded",
    show_default=True,
    metavar="WHICH",
    help="embedded: Mosquitto if installed, else amqtt; mosquitto or amqtt to insist; or mqtt://HOST:PORT.",
)
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Port of the page; 0: any free one."
)
@click.option("--no-page", is_flag=True, help="Serve no page.")
@click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), help="Another plant.  [default: configs/demo.toml]"
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data/demo"),
    show_default=True,
    help="Folder for logs and history; emptied at each start.",
)
@_metrics_port("none")
@_errors
def demo(
    for_s: float | None,
    as_json: bool,
    seed: int,
    broker: str,
    port: int,
    no_page: bool,
    config: Path | None,
    data: Path,
    metrics_port: int | None,
) -> None:
    """Run the whole loop around a simulated pump hall.

    Starts a broker, simulated machines with faults, a gateway, two detectors, a scheduler, a recorder, a crew of
    executors and a web page. Within a minute one fault goes all the way to a verified repair.
    """
    from edgemesh.launch import demo as launch

    _log("warning", quiet=not as_json and sys.stderr.isatty())
    options = launch.DemoOptions(
        config=config or sample("demo.toml"),
        data=data,
        seed=seed,
        for_s=for_s,
        broker=broker,
        page_port=None if no_page else port,
        metrics_port=metrics_port,
    )
    report = asyncio.run(launch.play(options, stream=sys.stderr if as_json else sys.stdout))
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report).decode())
    else:
        click.echo(launch.summary(report))
    sys.exit(0 if report.good or (for_s is None) else 1)


@main.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--role",
    "roles",
    multiple=True,
    metavar="ROLE",
    help="Run these roles only: gateway, sentry, detector, scheduler, recorder, registry. Repeatable.",
)
@click.option("--agent", "agents", multiple=True, metavar="NAME", help="Run these agents only. Repeatable.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least level that is logged.",
)
@click.option(
    "--log-form",
    type=click.Choice(["human", "json"]),
    help="Lines for people, or one JSON object a line.  [default: that of [logs], or human]",
)
@click.option(
    "--watched",
    is_flag=True,
    help="Run them in a child process that is ended when it says nothing for 3 s, and is started again.",
)
@_metrics_port("that of [metrics], if any")
@_errors
def run(
    config: Path, roles: tuple[str, ...], agents: tuple[str, ...], log_level: str, log_form: Form | None,
    watched: bool, metrics_port: int | None,
) -> None:  # fmt: skip
    """Run the agents of CONFIG in this process until Ctrl-C or SIGTERM.

    With --watched a light parent process ends agents that froze (kill -9 after 3 s without a beat) and starts them
    again, with pauses that grow up to 30 s; a configuration that can't be used (exit status 2) is left alone. A systemd
    unit with WatchdogSec does the same without it: NOTIFY_SOCKET and WATCHDOG_USEC are honoured.
    """
    output = _log(log_level, form=log_form or "human")
    watched_on = None
    if watched:
        from edgemesh.launch.watchdog import stand_guard

        watched_on = stand_guard()  # before anything heavy is loaded
    from edgemesh.configuration.loading import load
    from edgemesh.launch.run import run as launch
    from edgemesh.launch.run import select

    configuration = load(config)
    output.put_form(log_form or configuration.settings.logs.form)
    names = select(configuration, roles, agents)
    asyncio.run(launch(configuration, names=names, watched_on=watched_on, metrics_port=metrics_port, output=output))


@main.command()
@click.argument("configs", nargs=-1, required=True, type=click.Path(path_type=Path))
@_errors
def check(configs: tuple[Path, ...]) -> None:
    """Say whether each CONFIG can be used, and what it would run."""
    from edgemesh.configuration.detectors import find_lacking
    from edgemesh.configuration.loading import load

    for config in configs:
        settings = load(config).settings
        names = ", ".join(f"{name} ({role})" for role, name in settings.agents()) or "no agents"
        site = settings.site
        click.echo(f"{config}: right. Site {site.id}, broker {_public(site.broker)}; runs {names}")
        models = settings.detection.model if settings.detector else ()
        for line in dict.fromkeys(line for each in models for line in find_lacking(each)):
            click.echo(f"{config}: {line}")


def _public(broker: str) -> str:
    from edgemesh.bus.address import parse_addresses
    from edgemesh.configuration.settings import EMBEDDED

    return broker if broker in EMBEDDED else ", ".join(map(str, parse_addresses(broker)))


@main.command()
@click.argument("name", required=False)
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="A parameter of the template. Repeatable.")
@click.option("--markdown", is_flag=True, help="Print the page of all templates.")
@_errors
def templates(name: str | None, given: tuple[str, ...], markdown: bool) -> None:
    """List the templates of rules, or show the rules, levels, actions and sources of the one called NAME."""
    from edgemesh.detect.templates import find_template, text

    if markdown:
        click.echo(text.markdown(), nl=False)
        return
    try:
        lines = text.describe(find_template(name), text.parse_given(given)) if name else text.list_lines()
    except ValueError as error:
        raise InputError(str(error)) from None
    click.echo("\n".join(lines))


@main.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="What the agents do.  [default: configs/skab.toml]")
@click.option("--speed", default="max", show_default=True, metavar="FACTOR|max", help="60 plays an hour in a minute.")
@click.option(
    "--train-rows",
    default=400,
    show_default=True,
    type=click.IntRange(min=0),
    help="Rows at the start of each file that are not scored.",
)
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep logs and history in this folder.")
@_metrics_port("none")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@_errors
def replay(data: Path, config: Path | None, speed: str, train_rows: int, keep: Path | None, metrics_port: int | None,
           as_json: bool) -> None:  # fmt: skip
    """Play recorded CSV files (DATA: a file, folder or pattern) through the production agents.

    Separator, time column and label columns are found by themselves. Where there are labels, the end shows when each
    fault was detected, and F1, false-alarm rate and missed-alarm rate over rows.
    """
    from edgemesh.launch import replay as launch

    _log("warning")
    with tempfile.TemporaryDirectory(prefix="edgemesh-replay-") as folder:
        options = launch.ReplayOptions(
            source=data,
            config=config or sample("skab.toml"),
            data=keep or Path(folder),
            speed=_speed(speed),
            train_rows=train_rows,
            metrics_port=metrics_port,
        )
        report = asyncio.run(launch.play(options, quiet=as_json and not sys.stderr.isatty()))
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report).decode())
    else:
        launch.show(report)
    sys.exit(0 if report.readings["lost"] == 0 else 1)


main.add_command(backtest)
main.add_command(why)
main.add_command(trace)
main.add_command(audit)
main.add_command(notices)
main.add_command(history)
main.add_command(backup)
main.add_command(spool)
main.add_command(model)
main.add_command(log_level)
main.add_command(standing_alerts)
main.add_command(orders)
main.add_command(ack)
main.add_command(review)
main.add_command(silence)
main.add_command(assign)
main.add_command(dispatch)


def _speed(text: str) -> float | str:
    if text == "max":
        return text
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= 1e9:
        raise click.BadParameter(f"{text!r} is neither a positive number nor `max`", param_hint="--speed")
    return speed


@main.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@BROKER
@SITE
@_errors
def top(config: Path | None, broker: str | None, site: str | None) -> None:
    """Show a running site live in the terminal. CONFIG defaults to the demo's."""
    from edgemesh.launch.look import look

    _log("error")
    asyncio.run(look(config or sample("demo.toml"), broker, site, stream=sys.stdout))


@main.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@BROKER
@SITE
@click.option(
    "--topic", default="#", show_default=True, metavar="PATTERN", help="Below edgemesh/v1/SITE/, e.g. log/alerts/+."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many messages.")
@click.option("--for", "for_s", type=click.FloatRange(min=0.0), metavar="SECONDS", help="End after so long.")
@click.option("--quarantine", is_flag=True, help="Show what the agents of CONFIG refused, from their data folder.")
@click.option(
    "--alerts", is_flag=True, help="Show the alerts of CONFIG's agents from their data folder: needs no broker."
)
@_errors
def tap(
    config: Path | None,
    broker: str | None,
    site: str | None,
    topic: str,
    count: int | None,
    for_s: float | None,
    quarantine: bool,
    alerts: bool,
) -> None:
    """Decode what is on the bus, a line a message. CONFIG defaults to the demo's."""
    from edgemesh.configuration.loading import load
    from edgemesh.launch import look
    from edgemesh.launch import tap as launch

    _log("error")
    file = config or sample("demo.toml")
    if quarantine:
        lines = launch.quarantine_lines(load(file).data, limit=count or 20)
        click.echo("\n".join(lines) or "nothing was refused")
        return
    if alerts:
        lines = launch.alert_lines(load(file).data, limit=count or 20)
        click.echo("\n".join(lines) or "no alert")
        return
    asyncio.run(look.listen(file, broker, site, topic, click.echo, count=count, wait_s=for_s))


@main.command()
@click.option(
    "--broker",
    default="embedded",
    show_default=True,
    metavar="WHICH",
    help="embedded, mosquitto, amqtt, or the address of a broker that keeps nothing.",
)
@click.option("--kills", default=60, show_default=True, type=click.IntRange(0, 10_000), help="How many faults.")
@click.option(
    "--readings", default=200_000, show_default=True, type=click.IntRange(1_000, 100_000_000), help="How many readings."
)
@click.option("--rate", default=2_000.0, show_default=True, type=click.FloatRange(10.0, 1e6), help="Readings a second.")
@click.option("--seed", default=1, show_default=True, help="Which fault comes when follows from it.")
@click.option("--only", default="", metavar="F1,F2", help="These faults only, by number or name; F0 lists them.")
@click.option("--all", "everything", is_flag=True, help="The trial and every drill of the catalogue.")
@click.option("--short", is_flag=True, help="Drills of seconds instead of minutes.")
@click.option("--soak", default=0.0, metavar="MINUTES", help="Faults of all kinds for so long, instead of --kills.")
@click.option(
    "--without", multiple=True, metavar="GUARD", help="Leave a guard off, to see it noticed; 'none' lists them."
)
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep logs and ledgers in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@_errors
def prove(broker: str, kills: int, readings: int, rate: float, seed: int, only: str, everything: bool, short: bool,
          soak: float, without: tuple[str, ...], keep: Path | None, as_json: bool) -> None:  # fmt: skip
    """Throw faults at a real site and check that nothing was lost and nothing done twice.

    Gateways, detectors, scheduler, recorder and crew run as processes around a broker without persistence. What was
    accepted and what took effect is held together from ledgers outside of them. Exit status 0 only with no loss and no
    double. Faults that want a set-up of their own (networks, disks, clocks) are drills, run when they are asked for.
    """
    from edgemesh.prove import guards
    from edgemesh.prove.show import Plan, choose_or_refuse, listing, play, table

    _log("error")
    if only == "F0":
        click.echo("\n".join(listing()))
        return
    if without == ("none",):
        click.echo("\n".join(guards.listing()))
        return
    guards.refuse_unknown(without)
    faults, drills = choose_or_refuse(only, everything=everything)
    plan = Plan(
        faults=faults, drills=drills, broker=broker, kills=kills, readings=readings, rate=rate, seed=seed, short=short,
        without=without, soak_s=soak * 60,
    )  # fmt: skip
    report = play(plan, keep)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report).decode())
    else:
        click.echo(table(report))
    sys.exit(0 if report.good else 1)


@main.command()
@click.argument("source", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--train-rows", type=click.IntRange(1), help="Rows at the start of the file that are normal.")
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its [scoring] section.")
@click.option("--seed", type=int, help="What chance there is follows from it.")
@click.option("--flags/--scores", default=True, show_default=True, help="0 or 1 a row, or how strange it is.")
@_errors
def score(source: Path, train_rows: int | None, config: Path | None, seed: int | None, flags: bool) -> None:
    """Judge a recorded file, one line for each row, reading strictly forwards.

    Labels in it are not read. Neither sensors nor the layout of the file need to be described.
    """
    from edgemesh.launch.score import ScoreOptions
    from edgemesh.launch.score import score as launch

    _log("error")
    for row in launch(ScoreOptions(source=source, config=config, train_rows=train_rows, seed=seed)):
        click.echo(int(row.flag) if flags else f"{row.score:.6g}")


@main.command()
@_errors
def plugins() -> None:
    """List the drivers and detectors that are installed."""
    from edgemesh.detect.methods import detectors
    from edgemesh.drivers import registry

    for what, found in (("driver", registry.installed()), ("detector", detectors.installed())):
        for plugin in found:
            click.echo(f"{what:<9} {plugin.name:<17} {plugin.module:<41} {plugin.distribution} {plugin.version}")


@main.command()
def version() -> None:
    """Print the version, Python's, and which extras are installed."""
    import importlib.util
    import platform

    have = sorted({extra for module, extra in EXTRAS.items() if importlib.util.find_spec(module)})
    click.echo(f"edgemesh {edgemesh.__version__}, Python {platform.python_version()}, {platform.machine()}")
    click.echo(f"extras: {', '.join(have) or 'none'}")
