"""Which cause triage names for each fault of the simulator: `python -m benchmarks.causes [--only MACHINE]`.

Each machine is played through the production watch with the rules of configs/rules.toml, each fault until an hour past
its full depth. What stands of an asset then goes through triage, as the scheduler does it.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator

from benchmarks.rules import CONFIG, MODELS, Firing, Run, faults_of
from edgemesh.configuration.loading import load
from edgemesh.dispatch.triage import triage
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertKind, AlertState

AFTER_S = 3600.0
WARM_S = 2.5 * 3600.0


class Recorder(Run):
    """A machine under its watches that keeps every version of an alert, with the second of the run."""

    alerts: list[tuple[float, Alert]]

    def _firings(self, alert: Alert) -> Iterator[Firing]:
        self.alerts.append((self.second, alert))
        yield from super()._firings(alert)


def record(fault: str, calm: Recorder) -> list[tuple[float, Alert]]:
    """Versions of alerts of a fault, with seconds since its onset."""
    run = copy.deepcopy(calm)
    run.alerts, begin_s = [], run.second
    for _ in run.play(run.player.inject(fault) + AFTER_S):
        pass
    return [(at_s - begin_s, alert) for at_s, alert in run.alerts]


def warm(kind: str) -> Recorder:
    """A machine that has run calmly for long enough to have baselines."""
    run = Recorder(kind, load(CONFIG).settings.detection)
    run.alerts = []
    for _ in run.play(2 * 86_400.0 if kind == "exchanger" else WARM_S):
        pass
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["hall", *MODELS], help="one machine")
    only = parser.parse_args().only
    print(f"{'machine':<11} {'fault':<21} {'asset':<13} {'cause':<38} {'sure':>5}  skills")
    for kind in [only] if only else ["hall", *MODELS]:
        calm = warm(kind)
        for fault in faults_of(kind):
            newest: dict[tuple[str, AlertKind], Alert] = {}
            for _, alert in record(fault, calm):
                if alert.state is not AlertState.CLEARED:
                    newest[alert.asset, alert.kind] = alert
            for alert in newest.values():
                asset_class = alert.asset.rstrip("0123456789").rstrip("-")
                plan = triage(alert, Asset(id=alert.asset, asset_class=asset_class))
                cause, skills = plan.cause.partition(":")[0], ", ".join(plan.skills)
                print(f"{kind:<11} {fault:<21} {alert.asset:<13} {cause:<38} {plan.confidence:5.2f}  {skills}")
            if not newest:
                print(f"{kind:<11} {fault:<21} no alert")


if __name__ == "__main__":
    main()
