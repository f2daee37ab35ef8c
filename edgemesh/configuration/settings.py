"""What a configuration file may say: one struct per section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgemesh.detect.settings import DetectSettings
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.log.room import RESERVE_BYTES
from edgemesh.model.agents import Asset, Role
from edgemesh.model.alerts import Stage
from edgemesh.model.ids import Id
from edgemesh.model.settings import Bytes, BytesPerDay, Seconds, Settings
from edgemesh.notices.settings import AnyNotice
from edgemesh.notices.tickets.settings import AnyTicket
from edgemesh.store.influx.settings import InfluxSettings
from edgemesh.tracing.settings import TraceSettings

Port = Annotated[int, Meta(ge=0, le=65535)]

EMBEDDED: dict[str, Literal["auto", "mosquitto", "amqtt"]] = {
    "embedded": "auto",
    "mosquitto": "mosquitto",
    "amqtt": "amqtt",
}
"""Words for a broker of our own, and which program each prefers; anything else is an address."""


class SiteSettings(Settings, frozen=True, kw_only=True):
    """`[site]`: one place, one broker domain.

    `broker` is `embedded` (Mosquitto on a private port if it is installed, else amqtt in the process), `mosquitto` or
    `amqtt` to insist, or one or several addresses: `mqtt://user:${PASSWORD}@host:1883,mqtts://other:8883`.
    `port` is the port of an embedded broker, 0 for any free one. `roles` are the roles that the whole site has, where
    that is more than this file runs: a row of a log stays until each of its readers has it.

    `clock` says when this machine's clock is believed: `plausible`, once it shows no year before that of this release;
    `synchronised`, once a time service holds it, too; `any`, always. Until then readings are marked, and get their
    true time later. A clock that is set by more than a second is doubted, and believed again when it comes back or has
    stayed for `clock_doubt` (with `synchronised`: when the service says so).
    """

    id: Id
    data: str = "data"
    broker: str = "embedded"
    port: Port = 0
    roles: tuple[Role, ...] = ()
    clock: Literal["plausible", "synchronised", "any"] = "plausible"
    clock_doubt: Seconds = Seconds(600.0)

    def __repr__(self) -> str:
        broker = self.broker if self.broker in EMBEDDED else "***"  # an address may hold a password
        fields = {name: getattr(self, name) for name in self.__struct_fields__} | {"broker": broker}
        return f"SiteSettings({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


class AssetSettings(Settings, frozen=True, kw_only=True):
    """`[[asset]]`: the thing maintained. `criticality`: A the plant stops without it, B output is lost, C rest."""

    id: Id
    asset_class: Id = msgspec.field(default="machine", name="class")
    area: Id = "site"
    criticality: Literal["A", "B", "C"] = "B"

    def asset(self) -> Asset:
        """The asset as agents know it."""
        return Asset(id=self.id, asset_class=self.asset_class, area=self.area, criticality=self.criticality)


class GatewaySettings(Settings, frozen=True, kw_only=True):
    """`[[gateway]]`: an edge host and its drivers, each a table `[[gateway.driver]]` with a `type` and its own keys."""

    id: Id
    driver: tuple[dict[str, Any], ...] = ()


class DetectorSettings(Settings, frozen=True, kw_only=True):
    """`[detector]`: the detectors; each gateway's log is given to one of them. `[detection]` says what they do.

    With `stage = "gateway"` it is one sentry: it watches the gateways of this file by rules, with or without a broker,
    and what it decides is provisional. A detector of the site confirms that, or withdraws it once rows that are
    `withdraw_after` younger are calm. `scores`: for so long it tells the greatest score of each asset once; `"0s"`:
    not at all.
    """

    agents: Annotated[tuple[Id, ...], Meta(min_length=1)] = ()
    stage: Stage = Stage.SITE
    withdraw_after: Seconds = Seconds(20.0)
    scores: Seconds = Seconds(10.0)

    def __post_init__(self) -> None:
        if not self.agents and self.stage is Stage.SITE:
            msgspec.structs.force_setattr(self, "agents", ("detector-1",))

    @property
    def role(self) -> Role:
        """What its agents are."""
        return Role.SENTRY if self.stage is Stage.GATEWAY else Role.DETECTOR


class SchedulerSettings(Settings, frozen=True, kw_only=True):
    """`[scheduler]`: turns alerts into work orders; `[dispatch]` says how.

    `keep_audit`: how many decisions its audit holds at least; older ones go a thousand at a time.
    """

    agent: Id = "scheduler"
    keep_audit: Annotated[int, Meta(ge=1_000, le=10_000_000)] = 100_000


class RecorderSettings(Settings, frozen=True, kw_only=True):
    """`[recorder]`: keeps the history in an embedded store; raw readings, and roll-ups of 1 and of 10 minutes.

    `keep_records` is for alerts and work orders that are over, `keep_versions` for what they were before that. Beyond
    `budget` the oldest raw readings give way before their time, then minutes, then ten minutes (none: any size).
    """

    agent: Id = "recorder"
    keep_raw: Seconds = Seconds(6 * 3600)
    keep_1min: Seconds = Seconds(30 * 86400)
    keep_10min: Seconds = Seconds(730 * 86400)
    keep_records: Seconds = Seconds(730 * 86400)
    keep_versions: Seconds = Seconds(90 * 86400)
    budget: Bytes | None = None


class RegistrySettings(Settings, frozen=True, kw_only=True):
    """`[registry]`: sees who lives, and gives each gateway's log to one detector."""

    agent: Id = "registry"


class ConsoleSettings(Settings, frozen=True, kw_only=True):
    """`[console]`: a web page that shows what is going on; on loopback unless `host` says otherwise."""

    host: str = "127.0.0.1"
    port: Port = 8080


class MetricsSettings(Settings, frozen=True, kw_only=True):
    """`[metrics]`: `/metrics` for Prometheus, `/healthz` and `/readyz`; on loopback unless `host` says otherwise.

    Each process has a port of its own.
    """

    host: str = "127.0.0.1"
    port: Port = 9465


class LogsSettings(Settings, frozen=True, kw_only=True):
    """`[logs]`: `form` is `human`, lines for people, or `json`, an object a line."""

    form: Literal["human", "json"] = "human"


class OutboxSettings(Settings, frozen=True, kw_only=True):
    """`[outbox]`: how each agent keeps its own log.

    `keep`: how long rows stay after every reader has them, so that newcomers can warm up. `window`: how many packs may
    be under way beyond what readers have confirmed. `budget`: how large the file may grow, `hold`: how long readings
    wait for a reader; beyond either the oldest readings give way, counted and alerted, and a log of alerts or orders
    takes nothing more in until readers catch up. `reserve`: what is set aside for when the disk is full (`"0B"`: none).
    `write_budget`: what one program may write to its disk in a day, like `"2GB/day"`; readings are then committed less
    often, at least every 2 s.
    """

    keep: Seconds = Seconds(600.0)
    window: Annotated[int, Meta(ge=1, le=100_000)] = 512
    budget: Bytes = Bytes(1000**3)
    hold: Seconds = Seconds(7 * 86400.0)
    reserve: Bytes = Bytes(RESERVE_BYTES)
    write_budget: BytesPerDay | None = None


class BackupSettings(Settings, frozen=True, kw_only=True):
    """`[backup]`: copies of each agent's log, taken while it runs; without the section there are none.

    `folder` is best on another disk. A copy is taken `every` so often, of the recorder's log, which holds the history,
    `history_every`; the newest `keep` stay. With a `write_budget` copies take half of it at most.
    """

    folder: Annotated[str, Meta(min_length=1)]
    every: Seconds = Seconds(300.0)
    history_every: Seconds = Seconds(86_400.0)
    keep: Annotated[int, Meta(ge=1, le=1_000)] = 3


class PlantSettings(Settings, frozen=True, kw_only=True):
    """A whole configuration file. A role without its section does not run from this file."""

    site: SiteSettings
    asset: tuple[AssetSettings, ...] = ()
    gateway: tuple[GatewaySettings, ...] = ()
    detector: DetectorSettings | None = None
    detection: DetectSettings = DetectSettings()
    scheduler: SchedulerSettings | None = None
    dispatch: DispatchSettings = DispatchSettings()
    recorder: RecorderSettings | None = None
    influxdb: InfluxSettings | None = None
    registry: RegistrySettings | None = None
    console: ConsoleSettings | None = None
    traces: TraceSettings = TraceSettings()
    metrics: MetricsSettings | None = None
    logs: LogsSettings = LogsSettings()
    outbox: OutboxSettings = OutboxSettings()
    backup: BackupSettings | None = None
    notice: tuple[AnyNotice, ...] = ()
    ticket: tuple[AnyTicket, ...] = ()

    def agents(self) -> list[tuple[Role, str]]:
        """Role and name of each agent of the file, in the order in which readings pass them."""
        named = [(Role.GATEWAY, gateway.id) for gateway in self.gateway]
        named += [(self.detector.role, name) for name in self.detector.agents] if self.detector else []
        for role, part in (
            (Role.SCHEDULER, self.scheduler),
            (Role.RECORDER, self.recorder),
            (Role.REGISTRY, self.registry),
        ):
            if part:
                named.append((role, part.agent))
        return named

    def roles(self) -> frozenset[Role]:
        """The roles that the site has, as far as this file knows."""
        return frozenset(self.site.roles) | {role for role, _ in self.agents()}
