"""All files that the generator makes, by their path in the repository, as the bytes that are committed."""

from __future__ import annotations

import json
from pathlib import Path

from grafana.generator import alerts, boards, sources, yaml
from grafana.generator.panels import Json

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("grafana")


def dashboards() -> dict[str, Json]:
    """Every dashboard, by its short name."""
    return {name: boards.make(name) for name in boards.NAMES}


def canonical(made: Json) -> str:
    """JSON with sorted keys and an indent of two: the same dict is the same text."""
    return json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """What belongs into the repository."""
    shown = {FOLDER / "dashboards" / f"{name}.json": canonical(made) for name, made in dashboards().items()}
    provisioned = {
        "datasources": (sources.datasources(), "Addresses and secrets come from the environment of Grafana."),
        "dashboards": (sources.dashboards(), "The dashboards of edgemesh, in a folder of their own."),
        "alerting": (alerts.provisioning(), "Rules that watch over edgemesh; docs/runbooks says what to do."),
    }
    folder = FOLDER / "provisioning"
    return shown | {
        folder / kind / "edgemesh.yaml": yaml.dump(made, f"{about}\nWritten by `make grafana`.")
        for kind, (made, about) in provisioned.items()
    }
