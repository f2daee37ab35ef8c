"""The dispatch desk: alerts, answers, cards and time in, versions of work orders out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from edgemesh.dispatch import moves
from edgemesh.dispatch.admission import Admission
from edgemesh.dispatch.causes import CauseTable
from edgemesh.dispatch.findings import Findings, is_learnt
from edgemesh.dispatch.flapping import Flapping
from edgemesh.dispatch.handover import Handover
from edgemesh.dispatch.ledger import Entry
from edgemesh.dispatch.memory import Memory, Seen
from edgemesh.dispatch.provisional import Provisional
from edgemesh.dispatch.refused import Refused
from edgemesh.dispatch.roster import Executor
from edgemesh.dispatch.settings import DispatchSettings, WhenCleared
from edgemesh.dispatch.topology import Topology
from edgemesh.dispatch.triage import Plan, triage
from edgemesh.model.agents import Asset, Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertState, Review, Severity, Stage
from edgemesh.model.commands import Command
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Answer, AnswerKind, OrderState, WorkOrder
from edgemesh.model.samples import Retimed, move


class Line(msgspec.Struct):
    """The clock that times are from now: its name while it can't be believed (else 0), when that began, and its newest
    time; 0: none yet.
    """

    clock: int = 0
    from_ns: int = 0
    until_ns: int = 0


class Desk:
    """Decides what becomes of orders. Time is what `time` was told last; the same input twice gives orders once."""

    def __init__(
        self,
        site: str,
        settings: DispatchSettings,
        assets: Mapping[str, Asset],
        *,
        epoch: int,
        stats: Counter[str],
        causes: CauseTable | None = None,
    ) -> None:
        self.handover = Handover(settings, epoch, stats, assets)
        self.memory = Memory()
        self.provisional = Provisional(settings.confirm_within)
        self.admission = Admission(settings, assets)
        self.topology = Topology(settings.group, assets)
        self.flapping = Flapping(settings.flapping)
        self.findings = Findings()
        self.ledger, self.roster = self.handover.ledger, self.handover.roster
        self.line = Line()
        self._site, self._settings, self._assets, self._stats = site, settings, assets, stats
        self._causes = causes

    def alerts(self, alerts: Iterable[Alert]) -> list[WorkOrder]:
        """Take in a detector's alerts. Of each only the newest version counts: what is over already wakes nobody."""
        newest: dict[str, Alert] = {}
        for alert in alerts:
            if alert.id not in newest or alert.version >= newest[alert.id].version:
                newest[alert.id] = alert
        for alert in newest.values():
            if not self.memory.news(alert):
                self._stats["alerts_again"] += 1
            elif alert.state is AlertState.CLEARED:
                self._clear(alert)
            elif alert.stage is Stage.GATEWAY and alert.id not in self.memory.seen:
                self.provisional.hold(alert, self.handover.now_ns)
            elif alert.state is not AlertState.PENDING:
                self._fire(alert)
            self.handover.offer_freed()
        return self.handover.take()

    def answers(self, answers: Iterable[Answer]) -> list[WorkOrder]:
        """Take in what executors say; what doesn't count is counted in the stats by its reason."""
        for answer in answers:
            if answer.answer is AnswerKind.BID:
                self.handover.bid(answer)
                continue
            problem = moves.objection(self.ledger.get(answer.order), answer)
            self._stats[f"answers_{problem or answer.answer}"] += 1
            if problem is None:
                self._answer(self.ledger.entries[answer.order], answer)
                self.handover.offer_freed()
        return self.handover.take()

    def cards(self, cards: Iterable[Card]) -> list[WorkOrder]:
        """Take in executors whose presence, skills or load changed, and detectors; the last card of each counts.

        All are taken note of before any order moves: who goes down together is not given the others' orders.
        """
        cards = list(cards)
        self.provisional.see(cards, self.handover.now_ns)
        self.topology.see(cards)
        before: dict[str, Executor | None] = {}
        newest = {card.agent: card for card in cards if card.role is Role.EXECUTOR}
        for name, card in newest.items():
            known = self.roster.executors.get(name)
            if self.roster.put(card):
                before[name] = known
            else:
                self._stats["cards_beyond_limit"] += 1
        for name, known in before.items():
            self._take_back(newest[name], known)
        for name, known in before.items():
            appeared = known is None or not known.up or known.incarnation != newest[name].incarnation
            self.handover.offer(name, again=appeared)
        self.handover.offer_freed()
        return self.handover.take()

    def obey(self, command: Command) -> str:
        """Set or end a silence, or take a person's word on an alert; return what came of it, in words.

        Raises Refused, and nothing has happened, where there is no such silence, no such alert that waits, or no room
        for another silence.
        """
        asked, review = command.end_silence, command.review
        if asked is not None and asked not in self.admission.silences.set:
            raise Refused(f"there is no silence {asked[:8]}")
        if review is not None and review.alert not in self.admission.cases():
            raise Refused(f"alert {review.alert[:8]} does not wait for anybody")
        if command.silence is not None and self.admission.silences.full:
            raise Refused("there are too many silences: end some first")
        alert = self.admission.obey(command, self.handover.now_ns)
        if alert is not None:
            place = self.topology.place(alert)
            entry = self.ledger.entries.get(self.ledger.standing.get((place, alert.kind), ""))
            self._admit(alert, None, entry, place, note=f"confirmed by {command.by}")
        if review is not None:
            return f"alert {review.alert[:8]}: {review.ruling}"
        if command.silence is not None:
            return f"silence {command.id[:8]} is set"
        if asked is None:
            raise Refused("a scheduler takes no such command")
        return f"silence {asked[:8]} is over"

    def time(self, now_ns: int) -> list[WorkOrder]:
        """Let pass what is due: deadlines, verification, retries, forgetting."""
        now_ns = self.handover.now_ns = max(self.handover.now_ns, now_ns)
        if self.line.clock:
            self.line.from_ns, self.line.until_ns = self.line.from_ns or now_ns, now_ns
        self.handover.time()
        for entry in self.ledger.due(now_ns):
            self._expire(entry)
            self.handover.offer_freed()
        for alert in self.provisional.due(now_ns):
            self._stats["alerts_unconfirmed"] += 1
            self._fire(alert)
            self.handover.offer_freed()
        for alert in self.admission.due(now_ns):
            self._fire(alert)
            self.handover.offer_freed()
        for entry in self.ledger.to_cancel(now_ns):
            self._cancel(entry, "the alert cleared before work began, and has not come back")
            self.handover.offer_freed()
        horizon_ns = now_ns - int(self._settings.rework_within * 1e9)
        self.ledger.forget(horizon_ns)
        self.memory.forget(horizon_ns)
        self.flapping.forget(horizon_ns)
        return self.handover.take()

    def retime(self, by_ns: int, doubt: int) -> None:
        """The clock was set by so much, and no time has passed; see `TimedCore.retime`."""
        handover, line = self.handover, self.line
        if by_ns:
            until_ns = handover.now_ns or line.until_ns
            from_ns = line.from_ns if line.clock else until_ns + 1
            known = Retimed(clock=max(line.clock, 1), from_ns=from_ns, until_ns=until_ns, by_ns=by_ns)
            self.ledger.put_right(known)
            self.memory.put_right(known)
            self.provisional.retime(by_ns)
            self.admission.retime(by_ns)
            self.flapping.retime(by_ns)
            self.topology.retime(by_ns)
            self.findings.put_right(known)
            handover.retime(by_ns)
            line.from_ns, line.until_ns = move(line.from_ns, by_ns), move(line.until_ns, by_ns)
        if not (doubt and line.clock):  # one doubt after the other is put right as one
            line.from_ns = line.until_ns = handover.now_ns
        line.clock = doubt

    def _fire(self, alert: Alert) -> None:
        """An alert stands: it opens an order, or belongs to the one of its asset and kind."""
        seen = self.memory.seen.get(alert.id)
        if seen is None and alert.severity is Severity.INFO:
            return
        self.topology.hear(alert, self.handover.now_ns)
        if seen is None and alert.id not in self.admission.kept:
            self.flapping.note(_key(alert), self.handover.now_ns)
        place = self.topology.place(alert)
        order = seen.order if seen else self.ledger.standing.get((place, alert.kind))
        entry = self.ledger.entries.get(order or "")
        if entry is None and self.admission.keeps(alert, self.handover.now_ns):
            return
        self._admit(alert, seen, entry, place)

    def _admit(self, alert: Alert, seen: Seen | None, entry: Entry | None, place: str, note: str = "") -> None:
        """An alert that waits for nothing opens the order of a place, or joins it."""
        plan = triage(alert, self._asset(alert), self._settings.triage, self._causes)
        plan = self.topology.plan(place, alert, plan)
        self.admission.drop(alert.id)
        if entry is None:
            self._open(alert, plan, place, note)
            return
        self.ledger.cancel_at(entry, None)
        entry.learnt = entry.learnt or is_learnt(alert)
        self.memory.put(alert, entry.order.id, self.handover.now_ns)
        if seen is None:
            entry.alerts.append(alert.id)
        if alert.id == entry.order.alert and not entry.order.state.final:
            self._note_times(entry, alert)
        if alert.severity is not Severity.INFO:
            self._replan(entry, plan)
        if entry.calm_at_ns is not None:
            self.handover.reopen(entry, "the alert came back after the work was done")

    def _asset(self, alert: Alert) -> Asset:
        return self._assets.get(alert.asset) or Asset(id=alert.asset)

    def _verify_at(self, entry: Entry) -> int:
        """Until when the sensor must agree, if it does from now on."""
        asked_s = entry.plan.verify_s if self._settings.verify_by_cause else 0.0
        return self.handover.later(asked_s or self._settings.verify_for)

    def _note_times(self, entry: Entry, alert: Alert) -> None:
        """The times of the alert that opened the order, where they were put right since."""
        times = {"occurred_at_ns": alert.onset_at_ns, "detected_at_ns": alert.raised_at_ns}
        if any(getattr(entry.order, name) != at_ns for name, at_ns in times.items()):
            self.handover.put(entry, moves.amend(entry.order, self.handover.now_ns, **times), entry.due_ns)

    def _open(self, alert: Alert, plan: Plan, place: str, note: str) -> None:
        order_id = derive_id(self._site, alert.id)
        if order_id in self.ledger.entries:
            self._stats["alerts_again"] += 1
            return
        now_ns = self.handover.now_ns
        self.memory.put(alert, order_id, now_ns)
        unsure = "decided on the gateway, not confirmed by the site" if alert.stage is Stage.GATEWAY else ""
        if self.flapping.flaps(_key(alert)):
            unsure = "it comes and goes: the order stays until it is calm"
            self._stats["alerts_flapping"] += 1
        before = self.ledger.get(self.ledger.verified.get((place, alert.kind), ""))
        rework = f"rework: order {before.id} was verified, and the alert is back" if before else unsure
        note = "; ".join(part for part in (note, rework) if part)
        order = moves.opened(order_id, alert, plan, now_ns, self.handover.epoch, note, place)
        entry = Entry(order=order, kind=alert.kind, plan=plan, alerts=[alert.id], learnt=is_learnt(alert))
        self.handover.seek(entry, order)

    def _replan(self, entry: Entry, plan: Plan) -> None:
        """Keep the newest plan for the next dispatch. A more urgent priority counts at once; nobody is called off."""
        order, now_ns = entry.order, self.handover.now_ns
        if plan.priority.value > order.priority.value:
            plan = msgspec.structs.replace(plan, priority=order.priority)
        entry.plan = plan
        self.ledger.dirty.add(order.id)
        if order.state is OrderState.OPEN and (order.skills, order.priority) != (plan.skills, plan.priority):
            self.handover.seek(entry, moves.replanned(moves.amend(order, now_ns), plan))
        elif order.priority is not plan.priority:
            self.handover.put(entry, moves.amend(order, now_ns, priority=plan.priority), entry.due_ns)

    def _clear(self, alert: Alert) -> None:
        """An alert is over: before work began the order may go, after done verification begins."""
        seen = self.memory.seen.get(alert.id)
        order_id = seen.order if seen else None
        self.memory.put(alert, order_id, self.handover.now_ns)
        self.provisional.drop(alert.id)
        self.admission.drop(alert.id)
        self.topology.drop(alert.id)
        entry = self.ledger.entries.get(order_id or "")
        if entry is None or alert.id not in entry.alerts:
            return
        entry.alerts.remove(alert.id)
        self.ledger.dirty.add(entry.order.id)
        if entry.alerts:
            return
        order = entry.order
        if order.state is OrderState.DONE:
            entry.calm_at_ns = self.handover.now_ns
            self.ledger.due_at(entry, self._verify_at(entry))
        elif order.state in moves.NOT_BEGUN and self._settings.when_cleared is WhenCleared.CANCEL:
            if alert.review is Review.WITHDRAWN:
                self._cancel(entry, "withdrawn: the site finds nothing")
            elif patience_s := self.flapping.patience_s(_key(alert), self._settings.cancel_after):
                self.ledger.cancel_at(entry, self.handover.later(patience_s))
            else:
                self._cancel(entry, "the alert cleared before work began")

    def _cancel(self, entry: Entry, note: str) -> None:
        """Nothing speaks for an order any more: it goes, unless somebody has begun."""
        if not entry.alerts and entry.order.state in moves.NOT_BEGUN:
            self.handover.put(entry, moves.cancelled(entry.order, self.handover.now_ns, note), None)

    def _answer(self, entry: Entry, answer: Answer) -> None:
        if answer.answer in (AnswerKind.REFUSED, AnswerKind.FAILED):
            said = f"{answer.executor} {answer.answer}"
            self.handover.pass_on(entry, f"{said}: {answer.note}" if answer.note else said)
            return
        entry.asked = ()
        deadline_ns = self.handover.later(self._settings.work_within)
        order = moves.answered(entry.order, answer, self.handover.now_ns, deadline_ns)
        if order.state is not OrderState.DONE:
            self.handover.put(entry, order, order.deadline_at_ns)
        elif entry.alerts:
            self.handover.put(entry, order, self.handover.later(self._settings.reopen_after))
        else:
            entry.calm_at_ns = self.handover.now_ns
            self.handover.put(entry, order, self._verify_at(entry))
        self.findings.note(entry)

    def _take_back(self, card: Card, before: Executor | None) -> None:
        """Pass on what somebody had not begun who is down, or who started anew and knows nothing of it."""
        name = card.agent
        if card.state is Presence.DOWN:
            self.handover.take_back(name, f"{name} is down")
        elif before is not None and before.incarnation != card.incarnation and card.load < self.roster.held(name):
            self.handover.take_back(name, f"{name} started anew without the order")

    def _expire(self, entry: Entry) -> None:
        order = entry.order
        if order.state is OrderState.OPEN:
            self.handover.retry(entry)
        elif order.state is OrderState.DISPATCHED:
            self.handover.pass_on(entry, f"{order.executor} did not answer in time")
        elif order.state in moves.HELD:
            self.handover.pass_on(entry, f"{order.executor} was not done in time")
        elif entry.calm_at_ns is not None:
            self.handover.put(entry, moves.verified(order, self.handover.now_ns, entry.calm_at_ns), None)
        else:
            self.handover.reopen(entry, "the alert is still there after the work was done")


def _key(alert: Alert) -> str:
    return f"{alert.asset}/{alert.kind}"
