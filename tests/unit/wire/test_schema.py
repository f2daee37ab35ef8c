"""The schemas in docs/schema are made from the records, and their page tells the truth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgemesh.model.samples import Record
from edgemesh.wire import codec, schema
from edgemesh.wire.reasons import SENTENCES
from edgemesh.wire.topics import Kind, parse

FOLDER = Path(__file__).parents[3] / "docs" / "schema"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
SECTIONS = {text.split("\n", 1)[0]: text for text in PAGE.split("\n## ")[1:]}
DECODERS: dict[str, Callable[[bytes], Record]] = {
    "readings": lambda payload: codec.decode_pack(payload, kind="readings", agent="gw1"),
    "alerts": lambda payload: codec.decode_pack(payload, kind="alerts", agent="det1"),
    "orders": lambda payload: codec.decode_pack(payload, kind="orders", agent="sched1"),
    "watermark": codec.decode_watermark,
    "card": lambda payload: codec.decode_card(payload, agent="ann"),
    "owners": codec.decode_owners,
    "alert": lambda payload: codec.decode_alert(payload, id="6f1c2a9be7c65a4b8d0f3e5a1b2c3d4e"),
    "order": lambda payload: codec.decode_order(payload, id="0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    "dispatch": lambda payload: codec.decode_dispatch(payload, executor="ann"),
    "answer": lambda payload: codec.decode_answer(payload, executor="ann"),
    "model": lambda payload: codec.decode_offer(payload, asset="pump-07"),
    "model_state": lambda payload: codec.decode_model_state(payload, asset="pump-07"),
    "verdicts": lambda payload: codec.decode_verdicts(payload, asset="pump-07"),
    "silence": lambda payload: codec.decode_silence(payload, id="9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d"),
    "review": lambda payload: codec.decode_case(payload, alert="6f1c2a9be7c65a4b8d0f3e5a1b2c3d4e"),
    "spans": lambda payload: codec.decode_spans(payload, agent="det1"),
    "scores": lambda payload: codec.decode_scores(payload, agent="det1"),
    "lines": lambda payload: codec.decode_lines(payload, agent="gw1"),
    "command": codec.decode_command,
    "reply": lambda payload: codec.decode_reply(payload, agent="det1"),
}


@pytest.mark.parametrize("name", schema.TABLE)
def test_a_schema_file_is_what_the_records_say(name: str) -> None:
    """A change of a record without `python -m edgemesh.wire.schema docs/schema` is seen here."""
    assert (FOLDER / f"{name}.json").read_bytes() == schema.make_schema(name)


def test_the_folder_holds_the_schemas_and_nothing_else(tmp_path: Path) -> None:
    """No schema is missing, and none is left behind by a record that is gone."""
    schema.write_schemas(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert {path.name for path in FOLDER.iterdir()} == made | {"README.md"}


@pytest.mark.parametrize("name", schema.TABLE)
def test_the_page_has_a_true_example(name: str) -> None:
    """Each kind has its section with topic, link and an example that decodes to the record of its schema."""
    record, topic = schema.TABLE[name]
    section = SECTIONS[name]
    assert f"`{topic}`" in section
    assert f"({name}.json)" in section
    (example,) = re.findall(r"```json\n(.*?)\n```", section, re.DOTALL)
    assert type(DECODERS[name](example.encode())) is record
    fields = set(json.loads(example)) - {"v", "kind"}
    assert fields <= set(record.__struct_fields__), "the example names a field that is not there"


def test_every_topic_with_a_record_has_a_schema() -> None:
    """The table covers all kinds of topics but those whose content is not a record of ours."""
    topics = (re.sub(r"\{\w+\}", "x", topic) for _, topic in schema.TABLE.values())
    kinds = {parse(f"edgemesh/v1/hall/{topic}").kind for topic in topics}
    assert kinds == set(Kind) - {Kind.INGEST}


def test_the_page_lists_every_reason() -> None:
    """The page's table of reason codes is the table of the code."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", SECTIONS["Reason codes"], re.MULTILINE)
    assert rows == [(reason.value, sentence) for reason, sentence in SENTENCES.items()]


def test_a_schema_asks_for_what_the_decoder_asks_for() -> None:
    """The fields that a schema requires are the record's fields without a default (and the kind of a pack)."""
    for name, (record, _) in schema.TABLE.items():
        top = json.loads(schema.make_schema(name))["$defs"][record.__name__]
        needed = {field.encode_name for field in msgspec.structs.fields(record) if field.required}
        assert set(top["required"]) - {"kind" if record.__struct_config__.tag_field == "kind" else ""} == needed
