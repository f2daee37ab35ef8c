"""The command `firmware-sim`: thin, it only turns options into objects."""

import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import aiomqtt
import click

from firmware_sim import __version__
from firmware_sim.broker import Broker, Watch, parse_broker
from firmware_sim.crew import Member, play
from firmware_sim.executor import Habits
from firmware_sim.faults import FAULTS
from firmware_sim.firmware import TOPICS
from firmware_sim.hall import Hall
from firmware_sim.link import NODELAY
from firmware_sim.memory import MemoryFault, MemoryFile
from firmware_sim.people import PEOPLE, Person, parse_person
from firmware_sim.process import run_until_stopped
from firmware_sim.scenario import SCENARIOS, Scenario
from firmware_sim.stage import Stage

F = TypeVar("F", bound=Callable[..., Any])
Service = Coroutine[Any, Any, None]

log = logging.getLogger("firmware_sim")


def _broker(_ctx: click.Context, _param: click.Parameter, value: str) -> Broker:
    """The broker behind a URL, or a usage error."""
    try:
        return parse_broker(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _site(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """A site id as edgemesh's topics allow it, or a usage error."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value) is None:
        raise click.BadParameter(f"{value!r} is no site id ([A-Za-z0-9_-], at most 64)")
    return value


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several click options as one decorator, shown in the given order."""
    return lambda function: reduce(lambda inner, option: option(inner), reversed(options), function)


_where = _options(
    click.option("--broker", metavar="URL", callback=_broker, default="mqtt://127.0.0.1:1883", show_default=True,
                 envvar="FIRMWARE_SIM_BROKER",
                 help="mqtt://[user:password@]host[:port], mqtts:// for TLS; several after commas."),
    click.option("--site", metavar="NAME", callback=_site, default="demo", show_default=True,
                 help="Site id in the topics."),
)  # fmt: skip
_how = _options(
    click.option("--seed", default=7, show_default=True, help="Everything by chance follows from it."),
    click.option("--with-parent", is_flag=True,
                 help="Stop when stdin closes, so that a killed parent leaves no orphan."),
    click.option("--quiet", is_flag=True, help="Log warnings only."),
)  # fmt: skip
_hall = _options(
    click.option("--pumps", type=click.IntRange(1, 899), default=6, show_default=True,
                 help="Pumps in the hall; each has a motor monitor, two share a tank."),
    click.option("--speed", type=click.FloatRange(min=0.0, min_open=True), default=10.0, show_default=True,
                 help="Simulated seconds per second."),
    click.option("--period", type=click.FloatRange(min=0.001), default=None,
                 help="Seconds between two samples of a device.  [default: 1 / speed]"),
    click.option("--scenario", type=click.Choice(SCENARIOS), default="steady", show_default=True,
                 help="steady: one fault after the other; none: only what is injected."),
    click.option("--first-fault-s", type=click.FloatRange(min=0.0), default=15.0, show_default=True,
                 help="Seconds to the first fault."),
    click.option("--every-s", type=click.FloatRange(min=0.1), default=20.0, show_default=True,
                 help="Seconds between two faults."),
    click.option("--ramp-s", type=click.FloatRange(min=0.0), default=None,
                 help="Seconds in which every fault grows to full depth.  [default: by fault, 4 to 6 at --speed 10]"),
    click.option("--aftermath", is_flag=True,
                 help="Repairs leave traces: a new bearing runs warm for a day, a new sensor has an offset."),
)  # fmt: skip
_crew = _options(
    click.option("--person", "people", multiple=True, metavar="NAME:SKILL+SKILL",
                 help="A member of the crew, repeatable.  [default: ana, ben, cleo, dai, eve; see `list`]"),
    click.option("--refusal", type=click.FloatRange(0.0, 1.0), default=0.0, show_default=True,
                 help="Probability that somebody refuses an order."),
    click.option("--silence", type=click.FloatRange(0.0, 1.0), default=0.0, show_default=True,
                 help="Probability that somebody never answers an order."),
    click.option("--work-s", type=click.FloatRange(min=0.0), default=4.5, show_default=True,
                 help="Mean seconds of way and work for one order (each time within a third of it)."),
    click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), default=None,
                 help="Where the crew keeps its memory, so that it survives kill -9."),
    click.option("--verdicts", is_flag=True,
                 help="Say with each work done what was found: real_fault, false_alarm or replaced_part."),
    click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), default=None,
                 help="A file to which each start of work adds a line."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HallOptions:
    """The options of a hall, as given."""

    pumps: int
    speed: float
    period: float | None
    scenario: str
    first_fault_s: float
    every_s: float
    ramp_s: float | None
    aftermath: bool


@dataclass(frozen=True, slots=True)
class CrewOptions:
    """The options of a crew, as given."""

    people: tuple[str, ...]
    refusal: float
    silence: float
    work_s: float
    verdicts: bool
    state_dir: Path | None
    ledger: Path | None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="firmware-sim")
def main() -> None:
    """Simulated machines with faults, and a repair crew, for trying out edgemesh.

    Needs only an MQTT broker. `plant` is the whole demo in one process; `hall` and `crew` are its halves.
    """


@main.command()
@_where
@_hall
@_how
def hall(broker: Broker, site: str, seed: int, with_parent: bool, quiet: bool, **options: Any) -> None:
    """Pumps, motors and tanks that publish telemetry and fall ill.

    Devices publish under hall/{device}/…, the truth about faults goes to firmware-sim/{site}/truth. The hall obeys
    firmware-sim/{site}/inject and firmware-sim/{site}/repair.
    """
    _log_to_stderr(quiet)
    wanted = HallOptions(**options)
    _pace(wanted)

    async def run() -> None:
        watch = Watch(broker)
        stage = _stage(wanted, site, seed, broker, watch)
        await _run([stage.connect(), stage.play()], stage, with_parent)

    asyncio.run(run())


@main.command()
@_where
@_crew
@_how
def crew(broker: Broker, site: str, seed: int, with_parent: bool, quiet: bool, **options: Any) -> None:
    """People who take orders and mend machines.

    Each shows a card on edgemesh/v1/{site}/agent/{person}, takes orders from …/dispatch/{person}, answers on
    …/answer/{person}, and lays hands on the machines of a `hall` at the same broker.
    """
    _log_to_stderr(quiet)
    wanted = CrewOptions(**options)
    people = _people(wanted)

    async def run() -> None:
        members = _members(wanted, people, site, seed, broker, Watch(broker))
        await _run([play(member) for member in members], None, with_parent)

    asyncio.run(run())


@main.command()
@_where
@_hall
@_crew
@_how
def plant(broker: Broker, site: str, seed: int, with_parent: bool, quiet: bool, **options: Any) -> None:
    """Hall and crew in one process: the whole demo."""
    _log_to_stderr(quiet)
    of_hall = HallOptions(**{key: options[key] for key in HallOptions.__slots__})
    of_crew = CrewOptions(**{key: options[key] for key in CrewOptions.__slots__})
    _pace(of_hall)
    people = _people(of_crew)

    async def run() -> None:
        watch = Watch(broker)
        stage = _stage(of_hall, site, seed, broker, watch)
        members = _members(of_crew, people, site, seed, broker, watch)
        services = [stage.connect(), stage.play(), *(play(member) for member in members)]
        await _run(services, stage, with_parent)

    asyncio.run(run())


@main.command("list")
@click.option("--pumps", type=click.IntRange(1, 899), default=6, show_default=True, help="Pumps in the hall.")
def list_all(pumps: int) -> None:
    """The faults that can be injected, the devices, and the crew."""
    _table(
        ("FAULT", "ACTS ON", "CODE", "MENDED BY", "ACTION", "SHOWS"),
        [
            (fault.name, fault.target, fault.code, " or ".join(fault.skills), fault.action, fault.shows)
            for fault in FAULTS.values()
        ],
    )
    click.echo()
    _table(
        ("DEVICE", "KIND", "ASSET", "TOPIC"),
        [
            (device.id, device.kind, device.asset, TOPICS[device.kind].format(device=device.id))
            for device in Hall(0, pumps).devices.values()
        ],
    )
    click.echo()
    _table(("PERSON", "SKILLS"), [(person.name, ", ".join(person.skills)) for person in PEOPLE])


@main.command()
@click.argument("fault", type=click.Choice(list(FAULTS)), metavar="FAULT")
@click.option("--asset", required=True, help="Asset to fall ill, such as pump-101 or tank-1.")
@click.option("--device", default=None, help="Device for sensor and device faults.  [default: by chance]")
@click.option("--metric", default=None, help="Metric for sensor faults.  [default: by chance]")
@click.option("--ramp-s", type=click.FloatRange(min=0.0), default=None, help="Seconds to full depth.")
@_where
def inject(
    fault: str,
    asset: str,
    device: str | None,
    metric: str | None,
    ramp_s: float | None,
    broker: Broker,
    site: str,
) -> None:
    """Makes a machine of a running hall fall ill. `firmware-sim list` shows the faults."""
    body = {"fault": fault, "asset": asset, "device": device, "metric": metric, "ramp_s": ramp_s}
    _say_once(broker, f"firmware-sim/{site}/inject", {key: value for key, value in body.items() if value is not None})


@main.command()
@click.option("--asset", required=True, help="Asset to be mended.")
@click.option("--skill", "skills", multiple=True, required=True, help="Skill at hand, repeatable.")
@click.option("--action", default=None, help="What is done.  [default: whatever is needed]")
@_where
def repair(asset: str, skills: tuple[str, ...], action: str | None, broker: Broker, site: str) -> None:
    """Mends a machine of a running hall, without a crew."""
    body = {"asset": asset, "executor": "cli", "skills": list(skills), "action": action}
    _say_once(broker, f"firmware-sim/{site}/repair", body)


def _log_to_stderr(quiet: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s firmware-sim %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("mqtt").setLevel(logging.CRITICAL)  # the library's own words on what our Watch reports once


def _pace(options: HallOptions) -> tuple[float, int]:
    """Seconds between two samples, and simulated seconds in them; a usage error if they do not fit."""
    if options.period is None:
        return 1.0 / options.speed, 1
    steps = round(options.speed * options.period)
    if steps < 1 or abs(steps - options.speed * options.period) > 0.01 * steps:
        raise click.UsageError("--speed x --period must be a whole number of simulated seconds, at least 1")
    return options.period, steps


def _stage(options: HallOptions, site: str, seed: int, broker: Broker, watch: Watch) -> Stage:
    period_s, steps = _pace(options)
    steady = Scenario(seed, options.first_fault_s, options.every_s) if options.scenario == "steady" else None
    stage = Stage(
        Hall(seed, options.pumps, aftermath=options.aftermath),
        site,
        broker,
        watch,
        period_s=period_s,
        steps=steps,
        scenario=steady,
        ramp_s=options.ramp_s,
    )
    watch.missed = lambda: f", {stage.dropped} samples dropped so far"
    return stage


def _people(options: CrewOptions) -> Sequence[Person]:
    try:
        return [parse_person(text) for text in options.people] or PEOPLE
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--person") from error


def _members(
    options: CrewOptions, people: Sequence[Person], site: str, seed: int, broker: Broker, watch: Watch
) -> list[Member]:
    third = options.work_s / 3.0
    habits = Habits(
        travel_s=(third * 0.67, third * 1.33),
        work_s=(third * 1.33, third * 2.67),
        refusal=options.refusal,
        silence=options.silence,
    )
    members = []
    for person in people:
        folder = options.state_dir
        file = None if folder is None else MemoryFile(folder / f"{site}-{person.name}.json")
        try:
            members.append(
                Member(
                    person,
                    site,
                    broker,
                    watch,
                    habits=habits,
                    seed=seed,
                    file=file,
                    ledger=options.ledger,
                    verdicts=options.verdicts,
                )
            )
        except (MemoryFault, OSError) as error:
            raise click.ClickException(str(error)) from error
    return members


async def _run(services: Sequence[Service], stage: Stage | None, with_parent: bool) -> None:
    trouble = ""
    try:
        await run_until_stopped(services, with_parent=with_parent)
    except* OSError as group:
        trouble = "; ".join(str(error) for error in group.exceptions)
    if stage is not None:
        log.info("stopped: %d samples published, %d dropped", stage.sent, stage.dropped)
    if trouble:
        raise click.ClickException(trouble)


def _say_once(broker: Broker, topic: str, body: dict[str, Any]) -> None:
    async def run() -> None:
        async with aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            tls_params=aiomqtt.TLSParameters() if broker.tls else None,
            timeout=5.0,
            socket_options=[NODELAY],
        ) as client:
            await client.publish(topic, json.dumps(body), qos=1)

    try:
        asyncio.run(run())
    except aiomqtt.MqttError as error:
        raise click.ClickException(f"broker {broker}: {error}") from error


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
