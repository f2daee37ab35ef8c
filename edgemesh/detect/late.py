"""Late samples: what is made of samples that had to wait on their way, and came behind or besides newer ones.

A condition that was over by the time we could know of it is a *past* alert: one record, which wakes nobody. So what
late samples raise is not said at once (`hush`). It is said once they are through and it still stands (`say`).

Where newer samples come before them, the watch forks: a copy of it, as it was before the hole, takes the late samples
in the order of their time; the watch itself jumps to the newer ones. When the late ones have come to where the newer
ones began, the two are joined: one fault is one alert.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgemesh.detect.alerts.book import OpenAlert, closed, renewed
from edgemesh.detect.base.decision import Seen, Switch
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.base.signals import MODEL, MODEL_SOURCE, split_source
from edgemesh.detect.rules.stuck import StuckState
from edgemesh.detect.watch import Watch
from edgemesh.detect.watch_state import WatchState
from edgemesh.model.alerts import Alert, AlertKind, AlertState
from edgemesh.model.samples import Batch, Retimed

_SETTLING_NS = 10 * 10**9
"""After a jump in time the model's smoothed deviations need up to this until they show what is."""
_NEVER = 2**63


class Fork(msgspec.Struct, omit_defaults=True):
    """How an asset stands in the samples before a hole's end.

    `began_ns`: by device, the first newer sample that the watch took after its jump. `over`: alerts that stood, and
    were known, when the watch forked, and are over in the late samples. `begun`: kinds of trouble that was there in the
    first newer samples, and was said. `retimed`: what became known meanwhile of the clock that gave their times.
    """

    state: WatchState
    began_ns: dict[str, int] = {}
    over: list[Alert] = []
    begun: list[AlertKind] = []
    retimed: list[Retimed] = []

    def saw(self, batches: Sequence[Batch]) -> bool:
        """Note the first newer samples; return whether there were any that are first."""
        news = {batch.device: batch.at_ns[0] for batch in batches if batch.device not in self.began_ns}
        self.began_ns |= news
        return bool(news)

    def found(self, alerts: Sequence[Alert]) -> bool:
        """Note what newer samples brought about; return whether it was there from their beginning."""
        begun = [alert.kind for alert in alerts if alert.version == 1 and _same_fault(self, alert)]
        self.begun += begun
        return bool(begun)


def hush(state: WatchState, alerts: Sequence[Alert]) -> list[Alert]:
    """Of what late samples brought about, what may be said: past alerts, and news of alerts that are known."""
    said = []
    for alert in alerts:
        if alert.version == 1 and alert.state is not AlertState.CLEARED:
            state.unsaid.append(alert.id)
        elif alert.id not in state.unsaid:
            said.append(alert)
        elif alert.state is AlertState.CLEARED:
            state.unsaid.remove(alert.id)
            said.append(_past(alert))
    return said


def hush_moved(state: WatchState, alerts: Sequence[Alert]) -> list[Alert]:
    """Of new versions that only moved in time, those that may be said."""
    return [alert for alert in alerts if alert.id not in state.unsaid]


def say(state: WatchState) -> list[Alert]:
    """No more late samples: what they raised and still stands is said now."""
    news = [alert for alert in state.book.alerts if alert.id in state.unsaid]
    state.unsaid = []
    return news


def split(watch: Watch) -> Fork:
    """Fork: the copy stays where it is, and goes on with what nobody was told of yet."""
    learner = watch.state.learner
    before, content = learner.moving, msgspec.json.encode(watch.capture())
    learner.moving = before
    return Fork(msgspec.json.decode(content, type=WatchState))


def take(fork: Fork, late: Watch, batches: Sequence[Batch], moment: Moment) -> list[Alert]:
    """Have the fork's watch take late samples; return the past alerts among what they bring about.

    Of an alert that was known before the fork the newer samples tell: its end here is only remembered.
    """
    said = hush(fork.state, late.take(batches, moment, late=True))
    fork.over += [alert for alert in said if not alert.past and alert.state is AlertState.CLEARED]
    return [alert for alert in said if alert.past]


def absorb(fork: Fork, alerts: Sequence[Alert]) -> list[Alert]:
    """Of what a join onto this fork brought about, what may be said: the fork is late itself."""
    fork.over += [alert for alert in alerts if alert.state is AlertState.CLEARED and not alert.past]
    return [alert for alert in alerts if alert.past]


def jump(watch: Watch) -> None:
    """Go on at a later time: what is under way starts over, what fires goes on; the fork keeps what was not said."""
    state = watch.state
    watch.models.jump()
    for kind, entry in list(state.book.entries.items()):
        if entry.alert.id in state.unsaid:
            del state.book.entries[kind]
            for source in entry.sources:
                _set(state, kind, source, firing=False)
    state.unsaid = []
    for switch in (*state.switches.values(), state.learner.switch):
        switch.lose_sight()
        switch.spent = switch.spent if switch.firing else 0
    for stuck in state.stuck.values():
        if not stuck.stuck:
            stuck.value, stuck.run = None, 0


def join(fork: Fork, onto: WatchState, site: str) -> list[Alert]:
    """The late samples have come to where the newer ones began; return what is over or changed. What is new is unsaid.

    What stands in the fork alone stands still, where nothing newer has shown it calm, or is past. What stands in both
    is the newer alert, which takes over the earlier onset. What was known before and was over in between ends there.
    """
    said: list[Alert] = []
    _inherit(fork, onto)
    _drop_past(fork, onto, site)
    _carry_on(fork, onto)
    for past in fork.over:
        said += _end(fork, onto, past, site)
    for kind, entry in fork.state.book.entries.items():
        if entry.alert.id in fork.state.unsaid:
            said += _settle(fork, onto, kind, entry)
    for name, device in fork.state.devices.items():
        onto.devices.setdefault(name, device)
    return said


def _end(fork: Fork, onto: WatchState, past: Alert, site: str) -> list[Alert]:
    """An alert was over among the late samples. If it seems to stand, what stands now is another one."""
    kind, entries = past.kind, onto.book.entries
    mine, late = entries.get(kind), fork.state.book.entries.get(kind)
    if mine is None or mine.alert.id != past.id:
        return []
    over = closed(mine.alert, past.at_ns)
    newer = [source for source in mine.sources if _began(fork, source) != _NEVER]
    sources = [source for source in newer if _stands(fork, onto, kind, source)]
    for source in newer:
        _set(onto, kind, source, firing=source in sources)
    sources += [source for source in (late.sources if late else ()) if _began(fork, source) == _NEVER]
    if not sources:
        onto.book.end(over)
        return [over]
    if late is None:
        entries[kind] = OpenAlert(renewed(mine.alert, _began(fork, sources[0]), site), sources)
    else:
        entries[kind] = OpenAlert(late.alert, sources)
    onto.unsaid.append(entries[kind].alert.id)
    return [over]


def _settle(fork: Fork, onto: WatchState, kind: AlertKind, entry: OpenAlert) -> list[Alert]:
    """An alert of which nobody was told yet stood at the end of the late samples."""
    alert, mine = entry.alert, onto.book.entries.get(kind)
    if mine is not None and mine.alert.id == alert.id:
        return []
    if kind in fork.begun and (mine is None or not _same_fault(fork, mine.alert)):
        return []
    if mine is not None and kind in fork.begun:
        onset = min(alert.onset_at_ns, mine.alert.onset_at_ns)
        mine.alert = msgspec.structs.replace(mine.alert, version=mine.alert.version + 1, onset_at_ns=onset)
        return [mine.alert]
    sources = [source for source in entry.sources if mine is None and _stands(fork, onto, kind, source)]
    if not sources:
        return [_past(closed(alert, min(fork.began_ns.values(), default=alert.at_ns)))]
    onto.book.entries[kind] = OpenAlert(alert, sources)
    for source in sources:
        if kind is AlertKind.SENSOR and source in fork.state.switches:
            onto.switches.setdefault(source, Switch())
        _set(onto, kind, source, firing=True)
    onto.unsaid.append(alert.id)
    return []


def _inherit(fork: Fork, onto: WatchState) -> None:
    """Where the watch has taken no newer sample of a source, the late ones have the last word on it."""
    for source, switch in fork.state.switches.items():
        if _began(fork, source) == _NEVER:
            onto.switches[source] = msgspec.structs.replace(switch)
    for source, stuck in fork.state.stuck.items():
        if _began(fork, source) == _NEVER:
            onto.stuck[source] = msgspec.structs.replace(stuck)


def _drop_past(fork: Fork, onto: WatchState, site: str) -> None:
    """What stood, unsaid, where both began, and was over and said among the late samples, stands no more."""
    for kind, entry in list(onto.book.entries.items()):
        if entry.alert.id not in onto.unsaid or entry.alert.id not in fork.state.book.closed_ids:
            continue
        onto.unsaid.remove(entry.alert.id)
        newer = [source for source in entry.sources if _began(fork, source) != _NEVER]
        sources = [source for source in newer if _stands(fork, onto, kind, source)]
        for source in newer:
            _set(onto, kind, source, firing=source in sources)
        del onto.book.entries[kind]
        if sources:
            onto.book.entries[kind] = OpenAlert(renewed(entry.alert, _began(fork, sources[0]), site), sources)
            onto.unsaid.append(onto.book.entries[kind].alert.id)


def _carry_on(fork: Fork, onto: WatchState) -> None:
    """What was under way in the late samples and went on in the newer ones has taken the time of both."""
    for source, before in fork.state.switches.items():
        switch = onto.switches.get(source)
        if switch is None or switch.firing or before.firing or before.seen is not Seen.BEYOND:
            continue
        if switch.seen is Seen.BEYOND and switch.onset_at_ns <= _began(fork, source):
            switch.spent += before.spent
            switch.onset_at_ns = before.onset_at_ns


def _stands(fork: Fork, onto: WatchState, kind: AlertKind, source: str) -> bool:
    """Whether nothing since has shown the source calm."""
    began_ns = _began(fork, source)
    if began_ns == _NEVER:
        return True
    if _is_stuck(kind, source, fork.state, onto):
        now, then = onto.stuck.get(source, StuckState()), fork.state.stuck.get(source, StuckState())
        return now.value is None or (now.value == then.value and now.since_ns <= began_ns)
    switch = onto.learner.switch if source == MODEL_SOURCE else onto.switches.get(source, Switch())
    return switch.seen is None or (switch.seen is not Seen.WITHIN and switch.onset_at_ns <= began_ns)


def _same_fault(fork: Fork, alert: Alert) -> bool:
    """Whether an alert was raised because of what was there from the first newer sample on."""
    return any(
        alert.onset_at_ns <= fork.began_ns.get(evidence.device, alert.onset_at_ns)
        or (evidence.rule == MODEL and alert.onset_at_ns <= _began(fork, MODEL_SOURCE))
        for evidence in alert.evidence[:1]
    )


def _began(fork: Fork, source: str) -> int:
    """When the watch took the first newer sample of the source's device; _NEVER: it has taken none."""
    if source == MODEL_SOURCE:
        return max(fork.began_ns.values()) + _SETTLING_NS if fork.began_ns else _NEVER
    return fork.began_ns.get(split_source(source)[2], _NEVER)


def _is_stuck(kind: AlertKind, source: str, *states: WatchState) -> bool:
    """Whether a source about a sensor is one that stands still; the others keep a switch."""
    return kind is AlertKind.SENSOR and not any(source in state.switches for state in states)


def _set(state: WatchState, kind: AlertKind, source: str, *, firing: bool) -> None:
    if _is_stuck(kind, source, state):
        state.stuck.setdefault(source, StuckState()).stuck = firing
        return
    switch = state.learner.switch if source == MODEL_SOURCE else state.switches.setdefault(source, Switch())
    switch.firing, switch.spent = firing, 0


def _past(alert: Alert) -> Alert:
    return msgspec.structs.replace(alert, past=True)
