"""One pass of all rules over new columns: what can't be believed, then what is computed, then the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgemesh.detect.base.columns import Columns, Values
from edgemesh.detect.base.decision import Switch
from edgemesh.detect.base.signals import Signal
from edgemesh.detect.rulebook import Rulebook
from edgemesh.detect.rules.derived import DerivedState, derive
from edgemesh.detect.rules.evaluation import is_plain, mute_impossible, scan_rule
from edgemesh.detect.rules.gates import GateTrack
from edgemesh.detect.rules.stuck import StuckState, scan_stuck
from edgemesh.detect.rules.trace import Trace


@dataclass(frozen=True, slots=True)
class Memories:
    """What the rules of one asset remember, by source; changed in place."""

    switches: dict[str, Switch]
    traces: dict[str, Trace]
    stuck: dict[str, StuckState]
    derived: DerivedState


def scan_rules(
    rulebook: Rulebook, memories: Memories, columns: Sequence[Columns], tracks: Mapping[str, GateTrack], asset: str
) -> tuple[list[Signal], list[Columns]]:
    """Run every rule over its channels; return the signals, and the columns with NaN for what was not believed.

    Signals are in the order of time, at one instant those that fire first.
    """
    signals: list[Signal] = []
    muted = [_mute(rulebook, memories, part, tracks, asset, signals) for part in columns]
    for part in (*muted, *derive(rulebook.derived, memories.derived, muted)):
        for plan in rulebook.plans(part.device, part.metrics):
            for source, rule in plan.levels:
                switch = memories.switches.setdefault(source, Switch())
                trace = None if is_plain(rule) else memories.traces.setdefault(source, Trace())
                track = tracks.get(rule.gate)
                signals += scan_rule(rule, switch, trace, part, plan.k, part.values[plan.k], track, asset)
    return sorted(signals, key=lambda signal: (signal.at_ns, not signal.firing)), muted


def _mute(
    rulebook: Rulebook,
    memories: Memories,
    part: Columns,
    tracks: Mapping[str, GateTrack],
    asset: str,
    signals: list[Signal],
) -> Columns:
    """Run the rules about sensors; return the columns without what they do not believe."""
    changed: dict[int, Values] = {}
    for plan in rulebook.plans(part.device, part.metrics):
        values = part.values[plan.k]
        for source, limits in plan.ranges:
            switch = memories.switches.setdefault(source, Switch())
            trace = memories.traces.setdefault(source, Trace())
            signals += scan_rule(limits, switch, trace, part, plan.k, values, tracks.get(limits.gate), asset)
            values = mute_impossible(limits, values)
        for source, rule in plan.stuck:
            state = memories.stuck.setdefault(source, StuckState())
            changes, values = scan_stuck(rule, state, part, plan.k, values, tracks.get(rule.gate))
            signals += changes
        if values is not part.values[plan.k]:
            changed[plan.k] = values
    if not changed:
        return part
    columns = tuple(changed.get(k, values) for k, values in enumerate(part.values))
    return replace(part, values=columns, clean=False)
