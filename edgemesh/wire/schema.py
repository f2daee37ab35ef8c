"""JSON Schemas (draft 2020-12) of everything that goes over the wire, made from the records themselves.

python -m edgemesh.wire.schema docs/schema
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from edgemesh.model.agents import Card, Owners, Watermark
from edgemesh.model.alerts import Alert
from edgemesh.model.commands import Command, Reply
from edgemesh.model.orders import Answer, DispatchList, WorkOrder
from edgemesh.model.packs import Alerts, Orders, Readings
from edgemesh.model.rollouts import ModelOffer, ModelState
from edgemesh.model.silences import Case, Silence
from edgemesh.model.spans import Spans
from edgemesh.model.told import Lines, Scores
from edgemesh.model.verdicts import Verdicts
from edgemesh.wire.codec import MAX_RECORDS, VERSION

# File name without `.json`, the record, and the topic below `edgemesh/v1/{site}/` on which it goes.
TABLE: dict[str, tuple[type[msgspec.Struct], str]] = {
    "readings": (Readings, "log/readings/{gateway}"),
    "alerts": (Alerts, "log/alerts/{agent}"),
    "orders": (Orders, "log/orders/{agent}"),
    "watermark": (Watermark, "watermark/{agent}/{group}"),
    "card": (Card, "agent/{agent}"),
    "owners": (Owners, "owners"),
    "alert": (Alert, "state/alert/{id}"),
    "order": (WorkOrder, "state/order/{id}"),
    "dispatch": (DispatchList, "dispatch/{executor}"),
    "answer": (Answer, "answer/{executor}"),
    "model": (ModelOffer, "model/{asset}"),
    "model_state": (ModelState, "state/model/{asset}"),
    "verdicts": (Verdicts, "state/verdicts/{asset}"),
    "silence": (Silence, "state/silence/{id}"),
    "review": (Case, "state/review/{id}"),
    "spans": (Spans, "told/spans/{agent}"),
    "scores": (Scores, "told/scores/{agent}"),
    "lines": (Lines, "told/lines/{agent}"),
    "command": (Command, "command/{agent}"),
    "reply": (Reply, "reply/{agent}"),
}


def make_schema(name: str) -> bytes:
    """The schema file of one row of TABLE, in canonical bytes: sorted keys, two spaces, a newline at the end."""
    record, _ = TABLE[name]
    schema: dict[str, Any] = _tidy(msgspec.json.schema(record))
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = f"urn:edgemesh:v{VERSION}:{name}"
    top = schema["$defs"][record.__name__]
    top["properties"]["v"] = {"enum": [VERSION], "default": VERSION, "description": "schema version"}
    top["required"] = sorted(set(top["required"]) - {"v"})
    if "records" in top["properties"]:
        top["properties"]["records"]["maxItems"] = MAX_RECORDS
    return (json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _tidy(part: Any) -> Any:
    """Put in what the decoder holds beyond the types (64 bits), and texts that are the same on every Python."""
    if isinstance(part, list):
        return [_tidy(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    tidy = {key: _tidy(inner) for key, inner in part.items()}
    if tidy.get("type") == "integer":
        tidy.setdefault("minimum", -(2**63))
        tidy.setdefault("maximum", 2**63 - 1)
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(tidy["description"].split())
    return tidy


def write_schemas(folder: Path) -> None:
    """Write every schema of TABLE into the folder, which must be there."""
    for name in TABLE:
        (folder / f"{name}.json").write_bytes(make_schema(name))


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m edgemesh.wire.schema FOLDER (the folder must be there)")
    write_schemas(Path(sys.argv[1]))
