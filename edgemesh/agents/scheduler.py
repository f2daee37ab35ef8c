"""The scheduler's core: alerts become work orders, and work orders find somebody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from edgemesh.agents.core import Input
from edgemesh.agents.replies import Replies
from edgemesh.dispatch.admission import Kept
from edgemesh.dispatch.auction import Offer
from edgemesh.dispatch.causes import CauseTable
from edgemesh.dispatch.desk import Desk, Line
from edgemesh.dispatch.docket import Docket
from edgemesh.dispatch.explanation import assign, explain
from edgemesh.dispatch.ledger import Entry
from edgemesh.dispatch.memory import Seen
from edgemesh.dispatch.outcomes import Past
from edgemesh.dispatch.provisional import Alive, Held
from edgemesh.dispatch.refused import Refused
from edgemesh.dispatch.roster import Executor
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.dispatch.topology import Mute
from edgemesh.errors import LogDamaged
from edgemesh.model.agents import Asset
from edgemesh.model.commands import Command, Reply
from edgemesh.model.decisions import Decision
from edgemesh.model.orders import Dispatch, DispatchList, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.samples import Record
from edgemesh.model.silences import Silence
from edgemesh.model.verdicts import Verdicts

_encode = msgspec.json.Encoder(order="deterministic").encode
_entry = msgspec.json.Decoder(Entry)
_seen = msgspec.json.Decoder(Seen)
_epoch = msgspec.json.Decoder(int)
_line = msgspec.json.Decoder(Line)
_held = msgspec.json.Decoder(Held)
_alive = msgspec.json.Decoder(Alive)
_offer = msgspec.json.Decoder(Offer)
_past = msgspec.json.Decoder(Past)
_executor = msgspec.json.Decoder(Executor)
_kept = msgspec.json.Decoder(Kept)
_silence = msgspec.json.Decoder(Silence)
_mute = msgspec.json.Decoder(Mute)
_begun = msgspec.json.Decoder(tuple[int, ...])
_down = msgspec.json.Decoder(set[str])
_verdicts = msgspec.json.Decoder(Verdicts)


class SchedulerCore:
    """Follows alerts, answers, bids and cards of executors, and commands; its log holds versions of work orders.

    `epoch` fences: it stands in every dispatch list and must not be below that of any scheduler that led before. A
    saved one that is higher stays, so that a clock set back between two starts locks nobody out.
    `stats` counts what came, what was decided and what was ignored, by reason. `causes` is the table of causes; None:
    the built-in one. Where it is `audited` somebody takes its `decisions`.
    """

    def __init__(
        self,
        agent: str,
        site: str,
        settings: DispatchSettings,
        assets: Mapping[str, Asset],
        epoch: int = 1,
        audited: bool = False,
        causes: CauseTable | None = None,
    ) -> None:
        self.agent, self.site, self.epoch = agent, site, epoch
        self._saved_epoch = 0
        self._saved_line = _encode(Line())
        self._settings = settings
        self._replies = Replies(agent)
        self.stats: Counter[str] = Counter()
        self._desk = Desk(site, settings, assets, epoch=epoch, stats=self.stats, causes=causes)
        self._docket = Docket(agent, kept=audited)

    def handle(self, pack: Input) -> Sequence[Record]:
        """Take one pack in and return the new versions of orders, oldest first."""
        orders: list[WorkOrder] = []
        if isinstance(pack, Alerts):
            orders = self._desk.alerts(pack.records)
            seen = self._desk.memory.seen
            belonging = [(each, seen[each.id].order if each.id in seen else None) for each in pack.records]
            self._docket.note(orders, "alerts", epoch=self.epoch, alerts=belonging)
        elif isinstance(pack, Answers):
            orders = self._desk.answers(pack.records)
            self._docket.note(
                orders, "answers", epoch=self.epoch, answers=pack.records, bids=self._desk.handover.auction.take()
            )
        elif isinstance(pack, Cards):
            orders = self._desk.cards(pack.records)
            self._docket.note(orders, "cards", epoch=self.epoch, cards=pack.records)
        elif isinstance(pack, Command):
            orders = self._obey(pack)
            self._docket.note(orders, "command", epoch=self.epoch, person=pack.by)
        return orders

    def reply(self, command: str) -> Reply | None:
        """What came of a command; see `CommandedCore`."""
        return self._replies.get(command)

    def _obey(self, command: Command) -> list[WorkOrder]:
        """Do what a person asks for; the same command twice is once."""
        if self._replies.get(command.id) is not None:
            return []
        explanation, desk, settings, done = None, self._desk, self._settings, True
        try:
            if command.assign is not None:
                text = assign(desk.handover, command.assign)
            elif command.explain is not None:
                explanation = explain(desk.handover, command.explain.order, settings.strategy, settings.auction)
                text = f"order {explanation.order[:8]} is {explanation.state}"
            else:
                text = desk.obey(command)
        except Refused as refused:
            text, done = str(refused), False
        self.stats[f"commands_{'done' if done else 'refused'}"] += 1
        self._replies.put(command, text, done=done, explanation=explanation)
        desk.handover.offer_freed()
        return desk.handover.take()

    @property
    def executors(self) -> Collection[str]:
        """Who is known by now, up or down."""
        return self._desk.roster.executors.keys()

    @property
    def next_ns(self) -> int | None:
        """When the next call for bids is over; None: there is none."""
        return self._desk.handover.auction.next_ns

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Take note of the time and return what is due by it."""
        orders = self._desk.time(now_ns)
        self._docket.note(orders, "time", epoch=self.epoch, bids=self._desk.handover.auction.take())
        return orders

    def decisions(self) -> Sequence[Decision]:
        """What was decided since the last call, and what it went by; see `DecidingCore.decisions`."""
        return self._docket.take()

    def retime(self, by_ns: int, doubt: int) -> Sequence[Record]:
        """Our clock was set: deadlines move along, so that none comes sooner or later; see `TimedCore.retime`."""
        self._desk.retime(by_ns, doubt)
        return []

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        """`state/order/{id}` and `dispatch/{executor}` of these orders, `state/verdicts/{asset}` where they have one.

        None: of all, those to be emptied included, and of all silences and alerts that wait for a person.
        """
        ledger, findings = self._desk.ledger, self._desk.findings.lists
        orders = [order for order in records if isinstance(order, WorkOrder)] if records is not None else []
        names = {order.executor for order in orders} | {ledger.left(order) for order in orders}
        judged = {order.asset for order in orders if order.verdict is not None}
        if records is None:
            judged = set(findings)
            orders = [entry.order for _, entry in sorted(ledger.entries.items())]
            names = {*self._desk.roster.executors, *(order.executor for order in orders)}
        topics: dict[str, Record | None] = {}
        for order in orders:
            topics[f"state/order/{order.id}"] = None if order.state.final else order
        for asset in sorted(judged & findings.keys()):
            topics[f"state/verdicts/{asset}"] = findings[asset]
        for name in sorted(name for name in names if name is not None):
            topics[f"dispatch/{name}"] = self._dispatches(name)
        if records is None:
            admission = self._desk.admission
            topics |= {f"state/silence/{name}": silence for name, silence in admission.silences.set.items()}
            topics |= {f"state/review/{name}": case for name, case in admission.cases().items()}
        return topics

    def news(self) -> Mapping[str, Record | None]:
        """`state/silence/{id}` and `state/review/{alert}` that changed since the last call; see `TellingCore`."""
        admission = self._desk.admission
        silences, cases = admission.silences, admission.cases() if admission.told else {}
        topics: dict[str, Record | None] = {f"state/silence/{name}": silences.set.get(name) for name in silences.told}
        topics |= {f"state/review/{name}": cases.get(name) for name in admission.told}
        silences.told, admission.told = set(), set()
        return topics

    def save(self) -> Mapping[str, bytes | None]:
        """Parts that changed: `epoch`, `clock`, `detectors`, `order/`, `alert/` and `held/{id}`, `executor/` and
        `past/{name}`, `verdicts/{asset}`, `bid/{order}/{name}`, `kept/` and `mute/{alert}`, `silence/{id}`,
        `begun/{asset}/{kind}`, `down`.
        """
        desk = self._desk
        parts: dict[str, bytes | None] = {}
        if self.epoch != self._saved_epoch:
            parts["epoch"] = _encode(self.epoch)
            self._saved_epoch = self.epoch
        line = _encode(desk.line)
        if line != self._saved_line:
            parts["clock"] = self._saved_line = line
        _collect(parts, "order", desk.ledger.entries, desk.ledger.dirty)
        _collect(parts, "kept", desk.admission.kept, desk.admission.dirty)
        _collect(parts, "silence", desk.admission.silences.set, desk.admission.silences.dirty)
        _collect(parts, "mute", desk.topology.mute, desk.topology.dirty)
        _collect(parts, "begun", desk.flapping.begun, desk.flapping.dirty)
        if desk.topology.down_dirty:
            parts["down"] = _encode(sorted(desk.topology.down))
            desk.topology.down_dirty = False
        if desk.provisional.alive_dirty:
            parts["detectors"] = _encode(desk.provisional.alive)
            desk.provisional.alive_dirty = False
        _collect(parts, "alert", desk.memory.seen, desk.memory.dirty)
        _collect(parts, "held", desk.provisional.held, desk.provisional.dirty)
        _collect(parts, "executor", desk.roster.executors, desk.roster.dirty)
        _collect(parts, "past", desk.handover.outcomes.past, desk.handover.outcomes.dirty)
        auction = desk.handover.auction
        for order, executor in sorted(auction.dirty):
            offer = auction.offer(order, executor)
            parts[f"bid/{order}/{executor}"] = None if offer is None else _encode(offer)
        auction.dirty.clear()
        _collect(parts, "verdicts", desk.findings.lists, desk.findings.dirty)
        return parts

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Go on from saved parts. Raises LogDamaged when a part is not what was saved."""
        for key, part in sorted(parts.items()):
            kind = key.partition("/")[0]
            try:
                if kind == "epoch":
                    self._saved_epoch = _epoch.decode(part)
                    self.epoch = self._desk.handover.epoch = max(self.epoch, self._saved_epoch)
                elif kind == "clock":
                    self._desk.line, self._saved_line = _line.decode(part), part
                elif kind == "order":
                    entry = _entry.decode(part)
                    self._desk.handover.restore(entry)
                    self._docket.restore(entry.order)
                elif kind == "alert":
                    self._desk.memory.restore(_seen.decode(part))
                elif kind == "held":
                    self._desk.provisional.held[key.partition("/")[2]] = _held.decode(part)
                elif kind == "kept":
                    self._desk.admission.restore(_kept.decode(part))
                elif kind == "silence":
                    self._desk.admission.silences.set[key.partition("/")[2]] = _silence.decode(part)
                elif kind == "mute":
                    self._desk.topology.restore(key.partition("/")[2], _mute.decode(part))
                elif kind == "begun":
                    self._desk.flapping.begun[key.partition("/")[2]] = _begun.decode(part)
                elif kind == "down":
                    self._desk.topology.down = _down.decode(part)
                elif kind == "detectors":
                    self._desk.provisional.alive = _alive.decode(part)
                elif kind == "executor":
                    self._desk.roster.restore(_executor.decode(part))
                elif kind == "past":
                    self._desk.handover.outcomes.restore(_past.decode(part))
                elif kind == "bid":
                    self._desk.handover.auction.restore(_offer.decode(part))
                elif kind == "verdicts":
                    self._desk.findings.restore(_verdicts.decode(part))
            except msgspec.MsgspecError as damage:
                raise LogDamaged(f"part {key} of the scheduler can't be read: {damage}") from damage

    def _dispatches(self, name: str) -> DispatchList | None:
        orders = tuple(
            Dispatch(
                order=order.id,
                attempt=order.attempt,
                asset=order.asset,
                title=order.title,
                cause=order.cause,
                parts=order.parts,
                duration_s=order.duration_s,
                skills=order.skills,
                priority=order.priority,
                alert=order.alert,
                state=order.state,
                reopened=order.reopened,
                deadline_at_ns=order.deadline_at_ns,
                trace=order.trace,
            )
            for order in self._desk.ledger.held(name)
        )
        return DispatchList(executor=name, epoch=self.epoch, orders=orders) if orders else None


def _collect(parts: dict[str, bytes | None], kind: str, there: Mapping[str, object], dirty: set[str]) -> None:
    for name in sorted(dirty):
        parts[f"{kind}/{name}"] = _encode(there[name]) if name in there else None
    dirty.clear()
