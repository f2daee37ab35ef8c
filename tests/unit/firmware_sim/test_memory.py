"""An executor's memory comes back as it was, or not at all."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.memory import REMEMBERED, Mark, Memory, MemoryFault, MemoryFile

marks = st.builds(
    Mark, st.sampled_from(["started", "done", "failed"]), st.integers(0), st.integers(0), st.text(), st.text()
)
memories = st.builds(Memory, st.integers(0), st.dictionaries(st.text(), marks), st.dictionaries(st.text(), marks))


@given(memories)
def test_json_round_trip(memory: Memory) -> None:
    """from_json undoes to_json."""
    assert Memory.from_json(memory.to_json()) == memory


def test_marks_of_an_earlier_version_are_read() -> None:
    """A memory from before there were verdicts goes on."""
    text = '{"v":1,"epoch":2,"begun":{},"settled":{"a":["done",1,5,"work done"]}}'
    assert Memory.from_json(text).settled == {"a": Mark("done", 1, 5, "work done")}


def test_file_round_trip(tmp_path: Path) -> None:
    """The folder is made, the file replaced as a whole, no draft stays behind."""
    file = MemoryFile(tmp_path / "crew" / "ana.json")
    assert file.load() == Memory()
    memory = Memory(3, {"a": Mark("started", 1, 5)})
    file.save(Memory(1).to_json())
    file.save(memory.to_json())
    assert file.load() == memory
    assert [path.name for path in file.path.parent.iterdir()] == ["ana.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"v":2}', '{"v":1,"epoch":1,"begun":[],"settled":{}}'])
def test_a_file_that_cannot_be_trusted_is_an_error(tmp_path: Path, text: str) -> None:
    """Silently starting afresh could do work twice."""
    path = tmp_path / "ana.json"
    path.write_text(text)
    with pytest.raises(MemoryFault, match=r"ana\.json"):
        MemoryFile(path).load()


def test_memory_is_bounded() -> None:
    """The oldest finished orders go first."""
    memory = Memory()
    for number in range(REMEMBERED + 10):
        memory.begun[str(number)] = Mark("started", 1, 0)
        memory.settle(str(number), Mark("done", 1, 0))
    assert len(memory.settled) == len(memory.begun) == REMEMBERED
    assert "9" not in memory.settled
    assert "10" in memory.settled
