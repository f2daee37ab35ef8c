"""What edgemesh knows of machines, as data: remedies, the sign table, and which metric speaks for which remedy."""

from __future__ import annotations

from typing import NamedTuple

from edgemesh.dispatch.settings import TriageRule
from edgemesh.model.alerts import AlertKind
from edgemesh.model.orders import Priority, Skills


class Remedy(NamedTuple):
    """A cause, what to do about it, and who can. `priority`: of a critical alert on an asset of criticality A."""

    cause: str
    title: str
    skills: Skills
    priority: Priority = Priority.P1


REMEDIES: dict[str, Remedy] = {
    "inlet": Remedy(
        "inlet valve or strainer", "Open the inlet valve of {asset} and check the strainer", {"operator": 0.25}
    ),
    "outlet": Remedy("outlet valve", "Open the outlet valve of {asset}", {"operator": 0.25}),
    "starved": Remedy("too little flow", "Check valves, strainer and level of {asset}", {"operator": 0.25}),
    "cavitation": Remedy(
        "cavitation or air", "Check level, strainer and inlet valve of {asset}", {"operator": 0.25, "instrument": 0.0}
    ),
    "leak": Remedy("leak", "Isolate {asset}, find and seal the leak", {"fitter": 0.5}),
    "impeller": Remedy("impeller wear", "Check impeller and wear rings of {asset}", {"fitter": 0.5}, Priority.P2),
    "mechanical": Remedy(
        "imbalance, misalignment or looseness", "Diagnose the vibration of {asset}", {"fitter": 0.5, "vibration": 0.0}
    ),
    "bearing": Remedy("bearing wear", "Check and replace the bearing of {asset}", {"fitter": 0.5, "vibration": 0.0}),
    "lubrication": Remedy("lubrication", "Regrease the bearing of {asset}", {"lubrication": 0.5}),
    "electrical": Remedy("electrical supply or winding", "Check supply and winding of {asset}", {"electrician": 0.5}),
    "drive": Remedy("drive or belt", "Check drive and belt of {asset}", {"fitter": 0.5}, Priority.P2),
    "level": Remedy("level", "Check level and inflow of {asset}", {"operator": 0.25}),
    "valve": Remedy("valve or actuator", "Check valve and actuator of {asset}", {"instrument": 0.5}, Priority.P2),
    "heat": Remedy("overheating", "Check cooling and load of {asset}", {"operator": 0.25}),
    "host": Remedy("gateway host", "Check the gateway host {device}: {metric}", {"instrument": 0.25}, Priority.P2),
    "gateway": Remedy("disk of a gateway", "Check disk and network of the gateway {asset}", {"instrument": 0.25}),
    "meter": Remedy("flow meter", "Check the flow meter of {asset}", {"instrument": 0.5}, Priority.P2),
    "sensor": Remedy("sensor", "Check sensor {metric} of {device} on {asset}", {"instrument": 0.5}, Priority.P2),
    "silent": Remedy(
        "silent device", "Check power, wiring and network of {device} on {asset}", {"instrument": 0.5}, Priority.P2
    ),
    "unknown": Remedy("unknown", "Inspect {asset}: {metric} is out of its normal range", {"operator": 0.25}),
}

CHANNELS: tuple[tuple[str, str], ...] = (
    ("*head*residual*", "head"),
    ("*current*residual*", "balance"),
    ("*inflow*", ""),
    ("*scatter*", ""),
    ("*unbalance*", ""),
    ("*discharge*temperature*", ""),
    ("*suction*", "suction"),
    ("*inlet*pressure*", "suction"),
    ("*discharge*", "discharge"),
    ("*outlet*pressure*", "discharge"),
    ("*flow*", "flow"),
    ("*accel*", "hf"),
    ("*vibration*", "vibration"),
    ("*bearing*", "bearing"),
    ("*current*", "current"),
)
"""Glob of a metric and the channel of the sign table that it is; the first match counts, no name: none."""


class SignRow(NamedTuple):
    """One cause in signs: `needs` must all be seen, `fits` may be seen, any other sign speaks against it."""

    remedy: str
    needs: frozenset[str]
    fits: frozenset[str]


def _row(remedy: str, needs: str, fits: str = "") -> SignRow:
    return SignRow(remedy, frozenset(needs.split()), frozenset(fits.split()))


SIGN_TABLE: tuple[SignRow, ...] = (
    _row("inlet", "suction-", "flow- discharge- current- vibration+ hf+ head-"),
    _row("outlet", "discharge+ flow-", "suction+ current- vibration+ hf+"),
    _row("leak", "head- balance+", "flow- discharge- current+"),
    _row("leak", "current+ flow-", "discharge- head- balance+"),
    _row("leak", "current+ discharge-", "head- balance+"),
    _row("meter", "flow- head+", "balance+ balance-"),
    _row("meter", "flow+ head-", "balance+ balance-"),
    _row("meter", "flow+ head+", "balance+ balance-"),
    _row("meter", "flow- balance+", ""),
    _row("cavitation", "hf+ flow-", "suction+ discharge- current- head- balance- vibration+"),
    _row("cavitation", "hf+ discharge-", "suction+ current- head- balance- vibration+"),
    _row("impeller", "head-", "flow- suction+ discharge- current-"),
    _row("starved", "flow- discharge-", "suction+ current- vibration+"),
    _row("bearing", "vibration+ bearing+", "hf+"),
    _row("lubrication", "hf+ bearing+"),
    _row("mechanical", "vibration+", "hf+"),
    _row("mechanical", "hf+"),
)
"""Signs that separate the causes (60 s means); the first row that explains all signs is the cause.

`head` and `balance` are the residuals of head and motor current, `hf` is acceleration above 1 kHz.
"""


def _rule(remedy: str, metric: str = "*", kind: AlertKind = AlertKind.MACHINE) -> TriageRule:
    cause, title, skills, priority = REMEDIES[remedy]
    return TriageRule(cause=cause, title=title, skills=skills, priority=priority, metric=metric, kind=kind)


BUILT_IN: tuple[TriageRule, ...] = (
    _rule("silent", kind=AlertKind.SILENT),
    _rule("sensor", kind=AlertKind.SENSOR),
    _rule("gateway", kind=AlertKind.GATEWAY),
    _rule("leak", "*leak*"),
    _rule("leak", "*seal*"),
    _rule("valve", "*valve*"),
    _rule("inlet", "*suction*"),
    _rule("starved", "*discharge*"),
    _rule("starved", "*pressure*"),
    _rule("level", "*inflow*"),
    _rule("level", "*level*"),
    _rule("starved", "*flow*"),
    _rule("mechanical", "*vibration*"),
    _rule("mechanical", "*accel*"),
    _rule("bearing", "*kurtosis*"),
    _rule("bearing", "*crest*"),
    _rule("lubrication", "*bearing*"),
    _rule("lubrication", "*oil*"),
    _rule("electrical", "*winding*"),
    _rule("electrical", "*current*"),
    _rule("electrical", "*voltage*"),
    _rule("electrical", "*power*"),
    _rule("electrical", "*phase*"),
    _rule("impeller", "*head*"),
    _rule("drive", "*speed*"),
    _rule("drive", "*belt*"),
    _rule("drive", "*slip*"),
    _rule("valve", "*position*"),
    _rule("host", "cpu*"),
    _rule("host", "mem*"),
    _rule("host", "disk*"),
    _rule("host", "*throttled*"),
    _rule("heat", "*temp*"),
    _rule("heat", "*thermo*"),
    _rule("unknown"),
)
"""Which remedy the strongest evidence speaks for when the signs leave it open; the last row takes everything."""
