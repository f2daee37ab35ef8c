"""The chain: gateways, a detector and a scheduler in one process: the agents' cores, fed as their engines do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgemesh.agents.clock import DataClock
from edgemesh.agents.core import Samples
from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.agents.watches import Observer
from edgemesh.configuration.settings import PlantSettings
from edgemesh.detect.learning.learner import Learner
from edgemesh.errors import ConfigError
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import WorkOrder
from edgemesh.model.packs import Alerts, Readings
from edgemesh.model.samples import Batch, Record, Sample

EPOCH = "0"
"""The epoch of the logs that are never written; `origin` of an alert names it."""
PASSING_NS = 10**9
LONGEST_PASSING_NS = 600 * 10**9


class Block(NamedTuple):
    """Samples that one gateway commits together, in the order of their arrival."""

    gateway: str
    samples: Sequence[Sample]


@dataclass(slots=True)
class _Gateway:
    core: GatewayCore = field(default_factory=GatewayCore)
    clock: DataClock = field(default_factory=DataClock)
    seq: int = 0


class Chain:
    """Plays blocks and keeps what comes of them.

    `alerts` and `orders` hold the newest version of each by id, in the order in which they came; an order that was
    never dispatched has nobody to do it, for executors are not part of a recording. ConfigError without a detector.
    """

    def __init__(
        self, settings: PlantSettings, *, file: str, observer: Observer | None = None, puts_off: bool = False
    ) -> None:
        """`puts_off`: whole warm-ups are kept and nothing is learnt from them, see `learner`."""
        if settings.detector is None:
            raise ConfigError("is missing", file=file, path="detector", wish="without it nothing can fire")
        site, assets = settings.site.id, {each.id: each.asset() for each in settings.asset}
        agent = settings.detector.agents[0]
        self._detector = DetectorCore(agent, site, settings.detection, assets, puts_off=puts_off)
        if observer is not None:
            self._detector.observe(observer)
        scheduler = settings.scheduler
        self._scheduler = SchedulerCore(scheduler.agent, site, settings.dispatch, assets) if scheduler else None
        self._gateways: dict[str, _Gateway] = {}
        self._clock = DataClock()
        self._alert_rows = 0
        self.alerts: dict[str, Alert] = {}
        self.orders: dict[str, WorkOrder] = {}

    def play(self, block: Block) -> Sequence[Batch]:
        """Have the gateway commit a block and the others read it; return its batches."""
        if not block.samples:
            return ()
        gateway = self._gateways.get(block.gateway)
        if gateway is None:
            gateway = self._gateways[block.gateway] = _Gateway()
            self._detector.adopt(block.gateway, ())
        gateway.clock.observe(block.samples[-1].at_ns)
        gateway.core.tick(gateway.clock.now_ns())
        records = gateway.core.handle(Samples(tuple(block.samples)))
        batches = tuple(record for record in records if isinstance(record, Batch))
        gateway.seq += 1
        pack = Readings(
            agent=block.gateway,
            epoch=EPOCH,
            seq=gateway.seq,
            lowest=1,
            at_ns=gateway.clock.now_ns(),
            records=batches,
        )
        self._clock.observe(max(batch.at_ns[-1] for batch in batches))
        now_ns = self._clock.now_ns()
        self._alert([*self._detector.tick(now_ns), *self._detector.handle(pack)], now_ns)
        return batches

    def model(self, asset: str, *, version: int, now_ns: int) -> bytes | None:
        """The file of the asset's model, under this version, made now; None while there is none."""
        return self._detector.model(asset, version=version, now_ns=now_ns)

    def learner(self, asset: str) -> Learner | None:
        """The learner of an asset; None: it was not heard of, or no model fits it."""
        return self._detector.learner(asset)

    def wait(self, until_ns: int) -> None:
        """Let time pass in which nothing comes, in steps of 1 s, for 10 minutes at most."""
        now_ns = self._clock.now_ns()
        if not now_ns:
            return
        last_ns = min(until_ns, now_ns + LONGEST_PASSING_NS)
        for at_ns in range(now_ns + PASSING_NS, last_ns, PASSING_NS):
            self._clock.observe(at_ns)
            self._alert(self._detector.tick(at_ns), at_ns)

    def _alert(self, alerts: Sequence[Alert], now_ns: int) -> None:
        self.alerts.update((alert.id, alert) for alert in alerts)
        if self._scheduler is None:
            return
        self._order(self._scheduler.tick(now_ns))
        if alerts:
            self._alert_rows += 1
            pack = Alerts(
                agent=self._detector.agent,
                epoch=EPOCH,
                seq=self._alert_rows,
                lowest=1,
                at_ns=now_ns,
                records=tuple(alerts),
            )
            self._order(self._scheduler.handle(pack))

    def _order(self, records: Iterable[Record]) -> None:
        self.orders.update((record.id, record) for record in records if isinstance(record, WorkOrder))
