"""Building what a configuration names: broker, agents and console, in one process."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import edgemesh
from edgemesh.agents.card import make_will
from edgemesh.agents.clock import FLOOR_NS, Clock, SystemClock
from edgemesh.agents.core import Core
from edgemesh.agents.engine import Engine
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.intake import Intake
from edgemesh.agents.local import LocalLog
from edgemesh.agents.recorder import RecorderCore
from edgemesh.agents.registry import RegistryCore
from edgemesh.agents.roles import ROLES
from edgemesh.agents.runtime import Runtime
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.agents.storage import Storage
from edgemesh.agents.timeservice import can_be_asked, is_synchronised
from edgemesh.agents.tracer import Tracer
from edgemesh.audit.book import AuditBook
from edgemesh.bus.address import Address, parse_addresses
from edgemesh.bus.contract import Bus, Will
from edgemesh.bus.embedded import EmbeddedBroker, start_broker
from edgemesh.bus.mqtt import MqttBus
from edgemesh.bus.neighbours import Neighbourhood
from edgemesh.configuration.loading import Configuration
from edgemesh.configuration.settings import EMBEDDED, DetectorSettings, PlantSettings, SiteSettings
from edgemesh.errors import ConfigError
from edgemesh.health.teller import Teller
from edgemesh.launch.notices import Notices, make_notices
from edgemesh.launch.outlet import InfluxOutlet, make_outlet
from edgemesh.launch.told import hear_told
from edgemesh.log.journal import Journal
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Stage
from edgemesh.store.contract import Outlet, Sink, SpanMirror
from edgemesh.store.history import HistorySink
from edgemesh.store.spans import SpanStore
from edgemesh.wire.topics import Topics

if TYPE_CHECKING:
    from edgemesh.store.otlp import OtlpExporter

logger = logging.getLogger(__name__)

REPLACEABLE = frozenset({Role.GATEWAY, Role.DETECTOR, Role.SENTRY, Role.REGISTRY})
"""Roles that can begin a new log by themselves when theirs is damaged: the logs of others bring back what they knew.
What a scheduler has open and a recorder keeps is nowhere else; there a person decides."""

TRUNK_WINDOW = 5_000
"""Messages of all agents of one process that may wait for the broker's acknowledgement."""
Connect = Callable[[str, Will | None], Bus]
"""How a client comes onto the bus: its id and its Last Will give a connection, not yet open."""


@dataclass(slots=True)
class Plant:
    """The running parts of one configuration. `broker` is None where the configuration names another's."""

    configuration: Configuration
    topics: Topics
    connect: Connect
    broker: EmbeddedBroker | None = None
    agents: dict[str, Runtime] = field(default_factory=dict)
    intakes: dict[str, Intake] = field(default_factory=dict)
    local: list[LocalLog] = field(default_factory=list)
    outlet: InfluxOutlet | None = None
    exporter: OtlpExporter | None = None
    teller: Teller | None = None
    notices: Notices | None = None

    @property
    def broker_name(self) -> str:
        """The broker for people, never with a password: program and version of our own, addresses of another's."""
        if self.broker:
            return f"{self.broker.kind} {self.broker.version}"
        broker = self.configuration.settings.site.broker
        return broker if broker in EMBEDDED else ", ".join(map(str, parse_addresses(broker)))

    def of(self, role: Role) -> list[Runtime]:
        """The agents of a role."""
        return [agent for agent in self.agents.values() if agent.role is role]

    def history(self) -> Path | None:
        """The recorder's database, where there is a recorder."""
        recorder = self.configuration.settings.recorder
        return journal_file(self.configuration.data, recorder.agent) if recorder else None

    async def start(self) -> None:
        """Start all agents, consumers before producers, and let the drivers read."""
        for agent in reversed(self.agents.values()):
            await agent.start()
        for log in self.local:
            log.start()
        if self.teller:
            self.teller.start()
        if self.outlet:
            self.outlet.start()
        if self.exporter:
            self.exporter.start()
        if self.notices:
            self.notices.start(next((agent.bus for agent in self.of(Role.RECORDER)), None))
        for name, intake in self.intakes.items():
            intake.start(self.configuration.drivers[name])

    async def stop(self) -> None:
        """Stop drivers, agents and the broker; returns when nothing runs any more."""
        for intake in self.intakes.values():
            await intake.stop()
        for log in self.local:
            await log.stop()
        if self.teller:
            await self.teller.stop()
        if self.notices:
            await asyncio.to_thread(self.notices.stop)
        await asyncio.gather(*(agent.stop() for agent in self.agents.values()))
        if self.outlet:
            await asyncio.to_thread(self.outlet.stop)
        if self.exporter:
            await asyncio.to_thread(self.exporter.stop)
        if self.broker:
            await self.broker.stop()


def journal_file(data: Path, agent: str) -> Path:
    """Where an agent keeps its log."""
    return data / "agents" / f"{agent}.db"


def address_file(data: Path) -> Path:
    """Where an embedded broker leaves word of its address."""
    return data / "broker" / "address"


async def find_broker(configuration: Configuration) -> tuple[EmbeddedBroker | None, Sequence[Address]]:
    """Start the embedded broker if the configuration wants one; give the addresses to connect to."""
    site = configuration.settings.site
    prefer = EMBEDDED.get(site.broker)
    if prefer is None:
        return None, parse_addresses(site.broker)
    folder = address_file(configuration.data).parent
    folder.mkdir(parents=True, exist_ok=True)
    broker = await start_broker(prefer, site.port, folder=folder)
    address_file(configuration.data).write_text(f"{broker.address}\n")
    return broker, (broker.address,)


async def build(
    configuration: Configuration,
    *,
    names: frozenset[str] | None = None,
    clock: Callable[[], Clock] | None = None,
    connect: Connect | None = None,
) -> Plant:
    """Build the agents of these names (None: all); nothing runs yet but an embedded broker.

    `connect` replaces the broker, for a bus in memory. `clock` makes one clock per agent (None: the system's).
    """
    live = clock is None  # where the data is the clock, a step learns what it needs: the same alerts each time
    clock = clock or _system_clock(configuration.settings.site, str(configuration.file))
    broker: EmbeddedBroker | None = None
    if connect is None:
        broker, addresses = await find_broker(configuration)

        connect = _connect_by(addresses, configuration, names)
    plant = Plant(configuration, Topics(configuration.settings.site.id), connect, broker)
    try:
        kept = configuration.settings.recorder
        if live and kept and (names is None or kept.agent in names):  # what is played again is no news
            plant.outlet = make_outlet(configuration.settings, journal_file(configuration.data, kept.agent))
            plant.exporter = _exporter(configuration.settings)
            plant.notices = _notices(configuration, journal_file(configuration.data, kept.agent))
        mirrors = [mirror for mirror in (plant.outlet and plant.outlet.mirror, plant.exporter) if mirror]
        for role, name, make_core, sinks in _agents(
            configuration, puts_off=live, outlet=plant.outlet, span_mirrors=mirrors
        ):
            if role is Role.RECORDER and plant.notices:
                sinks = (*sinks, plant.notices.intake)
            if names is None or name in names:
                if role is Role.DETECTOR:
                    need_for_detection(configuration.settings)
                plant.agents[name] = _agent(plant, role, name, make_core, sinks, clock(), traced=live)
    except BaseException:
        await plant.stop()
        raise
    if live:
        detector = configuration.settings.detector or DetectorSettings()
        plant.teller = Teller(plant.topics, plant.agents.values(), every_s=detector.scores)
    if plant.notices:
        for recorder in plant.of(Role.RECORDER):
            recorder.storage.heed(plant.notices)
    if plant.outlet:
        for recorder in plant.of(Role.RECORDER):
            hear_told(recorder, plant.topics, plant.outlet.mirror.told)
    for name in configuration.drivers:
        if name in plant.agents:
            plant.intakes[name] = Intake(plant.agents[name])
    for sentry in plant.of(Role.SENTRY):
        if not plant.of(Role.GATEWAY):
            await plant.stop()
            wish = "run the gateway with it: --role gateway --role sentry"
            raise ConfigError(
                f"{sentry.name} works in the process of its gateway", file=str(configuration.file), wish=wish
            )
        plant.local += [LocalLog(gateway, sentry, plant.topics) for gateway in plant.of(Role.GATEWAY)]
    if not plant.agents:
        await plant.stop()
        raise ConfigError("names no agent to run", file=str(configuration.file), wish="add [[gateway]], [detector], …")
    return plant


def _notices(configuration: Configuration, recorder: Path) -> Notices | None:
    settings = configuration.settings
    return make_notices(settings.site.id, settings.notice, settings.ticket, recorder, configuration.data)


def _exporter(settings: PlantSettings) -> OtlpExporter | None:
    """What sends traces to a collector, where the configuration names one."""
    traces = settings.traces
    if not traces.on or not traces.otlp:
        return None
    from edgemesh.store.otlp import OtlpExporter  # an HTTP client that no gateway needs

    return OtlpExporter(settings.site.id, edgemesh.__version__, traces.otlp, traces.headers())


def _connect_by(addresses: Sequence[Address], configuration: Configuration, names: frozenset[str] | None) -> Connect:
    """How agents come to their connections: one that is alone has its own, others share a trunk besides."""
    together = [name for _, name, _, _ in _agents(configuration) if names is None or name in names]
    if len(together) < 2:
        return lambda client_id, will: MqttBus(addresses, client_id, will=will)
    site = configuration.settings.site.id
    # The name is new at each start: a broker brings nobody what it has retained of the same name.
    trunk = MqttBus(addresses, f"edgemesh-{site}-{secrets.token_hex(4)}", window=TRUNK_WINDOW, no_local=True)
    neighbourhood = Neighbourhood(trunk)
    return lambda client_id, will: neighbourhood.join(MqttBus(addresses, client_id, will=will))


def _system_clock(site: SiteSettings, file: str) -> Callable[[], SystemClock]:
    """The machine's clock, believed when the site says so. ConfigError where nobody can tell."""
    asked = site.clock == "synchronised"
    if asked and not can_be_asked():
        raise ConfigError("nobody here knows whether the clock is synchronised", file=file, wish='clock = "plausible"')
    return partial(
        SystemClock,
        floor_ns=0 if site.clock == "any" else FLOOR_NS,
        doubt_s=site.clock_doubt,
        synchronised=is_synchronised if asked else None,
    )


def need_for_detection(settings: PlantSettings) -> None:
    """Raise ModuleNotFoundError now, rather than in the middle of the work when a model is learnt."""
    for module in ("numpy", "sklearn") if settings.detection.model else ():
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)


AgentPlan = tuple[Role, str, Callable[[], Core], Sequence[Sink]]


def _agents(
    configuration: Configuration,
    *,
    puts_off: bool = False,
    outlet: InfluxOutlet | None = None,
    span_mirrors: Sequence[SpanMirror] = (),
) -> list[AgentPlan]:
    settings = configuration.settings
    site, assets = settings.site.id, {each.id: each.asset() for each in settings.asset}
    started = int(time.time())
    plans: list[AgentPlan] = [(Role.GATEWAY, gateway.id, GatewayCore, ()) for gateway in settings.gateway]
    if settings.detector and settings.detector.stage is Stage.GATEWAY:
        from edgemesh.agents.sentry import SentryCore  # only where there is one

        plans += [
            (Role.SENTRY, name, partial(SentryCore, name, site, settings.detection, assets), ())
            for name in settings.detector.agents
        ]
    elif settings.detector:
        from edgemesh.agents.detector import DetectorCore  # heavy: numpy, and scikit-learn when it learns

        make = partial(
            DetectorCore,
            site=site,
            settings=settings.detection,
            assets=assets,
            puts_off=puts_off,
            stopwatch=time.perf_counter_ns if puts_off else None,
            withdraw_after_s=settings.detector.withdraw_after,
            scores_every_s=settings.detector.scores if puts_off else 0.0,
        )
        plans += [(Role.DETECTOR, name, partial(make, name), ()) for name in settings.detector.agents]
    if settings.scheduler:
        scheduler = settings.scheduler.agent
        plans.append(
            (
                Role.SCHEDULER,
                scheduler,
                lambda: SchedulerCore(
                    scheduler,
                    site,
                    settings.dispatch,
                    assets,
                    epoch=started,
                    audited=True,
                    causes=configuration.causes,
                ),
                (AuditBook(most=settings.scheduler.keep_audit),),
            )
        )
    if settings.recorder:
        recorder = settings.recorder
        sink = HistorySink(
            raw_s=recorder.keep_raw,
            minute_s=recorder.keep_1min,
            ten_minutes_s=recorder.keep_10min,
            records_s=recorder.keep_records,
            versions_s=recorder.keep_versions,
            max_bytes=recorder.budget,
            mirror=outlet.mirror if outlet else None,
        )
        traces = settings.traces
        spans = SpanStore(keep_s=traces.keep, keep_share_s=traces.keep_share, mirrors=span_mirrors)
        plans.append((Role.RECORDER, recorder.agent, RecorderCore, (sink, spans) if traces.on else (sink,)))
    if settings.registry:
        registry = settings.registry.agent
        plans.append((Role.REGISTRY, registry, lambda: RegistryCore(registry, site, epoch=started), ()))
    return plans


def _agent(
    plant: Plant,
    role: Role,
    name: str,
    make_core: Callable[[], Core],
    sinks: Sequence[Sink],
    clock: Clock,
    *,
    traced: bool,
) -> Runtime:
    configuration = plant.configuration
    settings = configuration.settings
    budget = None if role is Role.RECORDER else int(settings.outbox.budget)  # a history has its own retention
    outlet: Outlet | None = plant.outlet.mirror if plant.outlet and role is Role.RECORDER else None
    journal = Journal.open(
        journal_file(configuration.data, name),
        name,
        max_bytes=budget,
        reserve_bytes=settings.outbox.reserve,
        anew=role in REPLACEABLE,
    )
    traces = settings.traces
    tracer = Tracer(name, role, clock, share=traces.share) if traced and traces.on else None
    engine = Engine(journal, make_core, clock, writes=ROLES[role].writes, sinks=sinks, tracer=tracer)
    incarnation = secrets.token_hex(8)
    will = Will(plant.topics.card(name), make_will(engine, role, incarnation))
    return Runtime(
        engine,
        plant.connect(f"edgemesh-{settings.site.id}-{name}", will),
        plant.topics,
        role,
        readers=[reader.value for reader in ROLES[role].readers if reader in settings.roles()],
        window=settings.outbox.window,
        storage=Storage(
            engine,
            keep_s=settings.outbox.keep,
            hold_s=settings.outbox.hold,
            write_budget=settings.outbox.write_budget,
            outlet=outlet,
            notices=[sink for sink in sinks if isinstance(sink, HistorySink)],
        ),
        incarnation=incarnation,
    )
