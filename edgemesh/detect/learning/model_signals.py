"""Signals of a model: from judgements of rows to what is raised and cleared."""

from __future__ import annotations

from collections.abc import Sequence

from edgemesh.detect.base.decision import Seen
from edgemesh.detect.base.signals import MODEL, MODEL_SOURCE, Signal, amount, number
from edgemesh.detect.base.windows import Channel
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.methods.judgement import Blame, Judgement
from edgemesh.model.alerts import AlertKind, Evidence, Severity

_CALM_BELOW = 0.9
_MUTE = 2.0
_CALM_ROWS = 15
"""So many calm rows end an alert that this model has not raised itself."""


def decide(state: LearnerState, judgement: Judgement, at_ns: int) -> bool | None:
    """Take one judgement into the state; return True where it raises, False where it clears.

    It raises where an episode begins, or exceeds what a person has called no fault, and clears where it ends; an alert
    from elsewhere ends after calm rows.
    """
    state.peak = max(state.peak, judgement.score) if judgement.flag else 0.0
    state.mute = state.mute if judgement.flag and judgement.score <= state.mute else 0.0
    switch, ended = state.switch, state.flagged and not judgement.flag
    if judgement.since == 1:
        switch.onset_at_ns = at_ns
    beyond = judgement.flag or judgement.score > 1.0
    switch.seen = Seen.BEYOND if beyond else Seen.WITHIN if judgement.score < _CALM_BELOW else Seen.BETWEEN
    state.flagged, switch.last_ns = judgement.flag, at_ns
    switch.spent = switch.spent + 1 if switch.seen is Seen.WITHIN and switch.firing else 0
    if judgement.flag and not switch.firing and not state.mute:
        switch.firing = True
        return True
    if switch.firing and not judgement.flag and (ended or switch.spent >= _CALM_ROWS):
        switch.firing, switch.spent = False, 0
        return False
    return None


def mute(state: LearnerState) -> None:
    """A person says that what stands is no fault: it is over, and comes again only if it gets twice as strange.

    So it is for this episode; the next one is another.
    """
    state.mute = _MUTE * max(1.0, state.peak) if state.flagged else 0.0
    state.switch.firing, state.switch.spent = False, 0


def raised(
    judgement: Judgement,
    at_ns: int,
    *,
    onset_at_ns: int,
    severity: Severity,
    channels: Sequence[Channel],
    version: str,
) -> Signal:
    """The signal of a judgement that raises: which channels, by how much, and what would be normal."""
    evidence = tuple(_evidence(blame, channels[blame.channel]) for blame in judgement.blame)
    cause = "; ".join(map(_headline, evidence))
    if not evidence:
        device, metric, unit = channels[0]
        evidence = (Evidence(rule=MODEL, metric=metric, device=device, unit=unit, score=round(judgement.score, 3)),)
        cause = f"unusual to {version}, which names no metric"
    return Signal(
        at_ns,
        AlertKind.MACHINE,
        MODEL_SOURCE,
        firing=True,
        onset_at_ns=onset_at_ns,
        severity=severity,
        evidence=evidence,
        cause=cause,
        confidence=round(min(0.99, max(0.5, 0.5 + 0.25 * (judgement.score - 1.0))), 3),
        model=version,
    )


def cleared(at_ns: int) -> Signal:
    """The signal that it is over."""
    return Signal(at_ns, AlertKind.MACHINE, MODEL_SOURCE, firing=False)


def _evidence(blame: Blame, channel: Channel) -> Evidence:
    """The channel's smoothed value now, and the range of it that is no reason to fire."""
    device, metric, unit = channel
    step = blame.high - blame.low
    return Evidence(
        rule=MODEL,
        metric=metric,
        device=device,
        value=blame.value,
        unit=unit,
        normal=f"{number(blame.low, step)} to {amount(blame.high, unit, step)}",
        score=blame.score,
    )


def _headline(evidence: Evidence) -> str:
    return f"{evidence.metric} {amount(evidence.value or 0.0, evidence.unit)}, normal {evidence.normal}"
