"""The overview: what is going on at a site, as anybody can hear it on the bus.

The present (alerts, orders, agents) follows the retained topics; what has happened, and what is over, is read from the
logs. Values in, values out: no socket and no clock, so a recorded day shows again what was shown then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from edgemesh.console.crew import Crew
from edgemesh.console.flow import Flow
from edgemesh.console.present import Present, Recent
from edgemesh.console.snapshot import AgentView, AlertView, DeviceView, OrderView, Snapshot, Totals
from edgemesh.console.story import Story
from edgemesh.console.views import alert_view, order_view
from edgemesh.errors import Rejected
from edgemesh.model.alerts import Alert, AlertState, Severity
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Orders
from edgemesh.wire import codec
from edgemesh.wire.reasons import Reason
from edgemesh.wire.topics import Address, Kind, Topics, parse

MAX_LIST = 200
MAX_DEVICES = 300
RELINK_S = 5.0
MAX_STATE_BYTES = 32 * 1024  # one card, alert or order; bounds what thousands of hostile ones can hold

_STATES = frozenset({Kind.CARD, Kind.OWNERS, Kind.ALERT, Kind.ORDER})


def patterns(topics: Topics) -> list[str]:
    """What to subscribe so that an Overview of the site hears everything it shows."""
    return [
        topics.card("+"),
        topics.owners(),
        topics.alert("+"),
        topics.order("+"),
        topics.log("readings", "+"),
        topics.log("alerts", "+"),
        topics.log("orders", "+"),
    ]


class Overview:
    """What is going on at `site`. `take` each message of `patterns`, ask for a `snapshot` at any time.

    It counts as not linked until `link` says so. `now_s` is monotonic time in seconds, `now_ns` UTC; all calls from one
    thread. Whatever the bytes are, nothing is
    raised: what breaks the rules is counted by its reason.
    """

    def __init__(self, site: str, *, broker: str = "") -> None:
        self.broker = broker
        self.changes = 0  # rises with everything that a snapshot shows, ages aside
        self._topics = Topics(site)
        self._linked = False
        self._judge_from_s = 0.0  # silence tells something of the agents only while we can hear them
        self._story = Story()
        self._crew = Crew(self._story)
        self._flow = Flow()
        self._alerts: Present[Alert] = Present()
        self._orders: Present[WorkOrder] = Present()
        self._cleared: Recent[Alert] = Recent()
        self._closed: Recent[WorkOrder] = Recent()
        self._owners: dict[str, str] = {}
        self._rejected: Counter[str] = Counter()
        self._seen: tuple[float, int] = (0.0, 0)
        self._takers: dict[Kind, Callable[[Address, bytes, bool, float, int], None]] = {
            Kind.CARD: self._take_card,
            Kind.OWNERS: self._take_owners,
            Kind.ALERT: self._take_alert,
            Kind.ORDER: self._take_order,
            Kind.READINGS: self._take_readings,
            Kind.ALERTS: self._take_alerts,
            Kind.ORDERS: self._take_orders,
        }

    def take(self, topic: str, payload: bytes, retained: bool, now_s: float, now_ns: int) -> None:
        """Take one message of the bus in; `retained` as the broker flagged it."""
        self.changes += 1
        try:
            address = parse(topic)
            taker = self._takers.get(address.kind)
            if taker is None or address.site != self._topics.site:
                raise Rejected(Reason.BAD_TOPIC, "nothing that is shown here")
            if address.kind in _STATES and len(payload) > MAX_STATE_BYTES:
                raise Rejected(Reason.TOO_LARGE, f"{len(payload)} bytes, {MAX_STATE_BYTES} are allowed")
            taker(address, payload, retained, now_s, now_ns)
        except Rejected as rejected:
            self._rejected[str(rejected.reason)] += 1

    def link(self, linked: bool, now_s: float) -> None:
        """The connection to the broker came or went.

        Call it with False first at each loss; when it comes back, have the broker say all retained messages again. What
        it no longer holds is dropped 5 s later, and only from then on does an agent's silence count again.
        """
        self.changes += 1
        self._linked = linked
        for present in (self._alerts, self._orders):
            if linked:
                present.expect(now_s)
            else:
                present.doubt()
        self._judge_from_s = now_s + RELINK_S

    def snapshot(self, now_s: float, now_ns: int) -> Snapshot:
        """What is going on now. Lists are cut to the 200 most urgent (devices: 300); `totals` counts all."""
        per_s, devices = self._flow.per_s(now_s), self._flow.devices(now_s)
        quiet = sum(device.quiet for device in devices)
        self._sweep(now_s, now_ns, (per_s, quiet))
        agents = self._crew.views(now_s)
        alerts, orders = self._alert_views(now_ns), self._order_views(now_ns)
        return Snapshot(
            site=self._topics.site,
            broker=self.broker,
            linked=self._linked,
            at_ns=now_ns,
            per_s=per_s,
            trail=self._flow.trail(now_s),
            totals=self._totals(agents, devices, alerts, orders),
            gateways=self._flow.gateways(self._owners, now_s)[:MAX_LIST],
            agents=tuple(agents[:MAX_LIST]),
            devices=tuple(devices[:MAX_DEVICES]),
            alerts=tuple(alerts[:MAX_LIST]),
            orders=tuple(orders[:MAX_LIST]),
            closed=tuple(order_view(order, now_ns) for order in self._closed),
            cleared=tuple(alert_view(alert, now_ns) for alert in self._cleared),
            story=self._story.events(),
            rejected=dict(sorted(self._rejected.items())),
        )

    def _sweep(self, now_s: float, now_ns: int, seen: tuple[float, int]) -> None:
        """Bring about what time alone brings about."""
        gone = [*self._alerts.sweep(now_s), *self._orders.sweep(now_s)]
        hears = self._linked and now_s >= self._judge_from_s
        if (hears and self._crew.sweep(now_s, now_ns)) or gone or seen != self._seen:
            self.changes += 1
        self._seen = seen

    def _alert_views(self, now_ns: int) -> list[AlertView]:
        """Most severe first, then newest."""
        shown = [alert for alert in self._alerts if alert.state in (AlertState.FIRING, AlertState.ACKNOWLEDGED)]
        shown.sort(key=lambda alert: (-alert.severity.rank, -alert.raised_at_ns, alert.id))
        return [alert_view(alert, now_ns) for alert in shown]

    def _order_views(self, now_ns: int) -> list[OrderView]:
        """Escalated first, then by priority, then oldest."""
        shown = [order for order in self._orders if not order.state.final]
        shown.sort(key=lambda order: (not order.escalated, order.priority.value, order.opened_at_ns, order.id))
        return [order_view(order, now_ns) for order in shown]

    def _totals(
        self, agents: list[AgentView], devices: list[DeviceView], alerts: list[AlertView], orders: list[OrderView]
    ) -> Totals:
        return Totals(
            agents=len(agents),
            agents_up=sum(agent.presence == "up" for agent in agents),
            devices=len(devices),
            devices_quiet=sum(device.quiet for device in devices),
            alerts=len(alerts),
            critical=sum(alert.severity == Severity.CRITICAL for alert in alerts),
            orders=len(orders),
            escalated=sum(order.escalated for order in orders),
            readings=self._flow.count,
            verified=self._story.verified,
        )

    def _take_card(self, address: Address, payload: bytes, retained: bool, now_s: float, now_ns: int) -> None:
        if not payload:
            self._crew.forget(address.name)
            return
        card = codec.decode_card(payload, agent=address.name)
        self._crew.see(card, retained=retained, now_s=now_s, now_ns=now_ns)

    def _take_owners(self, _: Address, payload: bytes, *__: object) -> None:
        self._owners = dict(codec.decode_owners(payload).owners) if payload else {}

    def _take_alert(self, address: Address, payload: bytes, retained: bool, *_: object) -> None:
        alert = codec.decode_alert(payload, id=address.name) if payload else None
        self._alerts.put(address.name, alert)
        if alert is not None and retained:
            self._story.alert(alert)

    def _take_order(self, address: Address, payload: bytes, retained: bool, *_: object) -> None:
        order = codec.decode_order(payload, id=address.name) if payload else None
        self._orders.put(address.name, order)
        if order is not None and retained:
            self._story.order(order)

    def _take_readings(self, address: Address, payload: bytes, _: bool, now_s: float, __: int) -> None:
        self._flow.take(address.name, payload, now_s)

    def _take_alerts(self, address: Address, payload: bytes, *_: object) -> None:
        pack = codec.decode_pack(payload, kind="alerts", agent=address.name)
        assert isinstance(pack, Alerts)
        for alert in pack.records:
            self._story.alert(alert)
            if alert.state is AlertState.CLEARED:
                self._cleared.put(alert.id, alert.cleared_at_ns or alert.at_ns, alert)

    def _take_orders(self, address: Address, payload: bytes, *_: object) -> None:
        pack = codec.decode_pack(payload, kind="orders", agent=address.name)
        assert isinstance(pack, Orders)
        for order in pack.records:
            self._story.order(order)
            if order.state in (OrderState.VERIFIED, OrderState.CANCELLED):
                self._closed.put(order.id, order.at_ns, order)
