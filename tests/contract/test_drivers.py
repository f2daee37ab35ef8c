"""The suite of the drivers' contract, run on every driver that comes with edgemesh.

Each driver's folder brings its own cases: `cases/*.json` with settings, files and messages that go in, and the samples,
rejections or the error that must come out.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import tomllib
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemesh import drivers
from edgemesh.drivers.contract import DriverModule
from edgemesh.errors import EdgemeshError
from edgemesh.model.ids import is_id
from edgemesh.model.samples import Sample
from edgemesh.model.settings import decode_amount
from edgemesh.wire.reasons import Reason
from tests.contract.fake_inlet import FakeInlet, run_until

ROOM = Path(drivers.__file__).parent
FOLDERS = sorted(path.parent for path in ROOM.glob("*/README.md"))
CASES = sorted(ROOM.glob("*/cases/*.json"))
_BLOCK = re.compile(r"```toml\n(.*?)```", re.DOTALL)
_DEFAULT = re.compile(r"^# ([a-z_]+ = .+)$", re.MULTILINE)

each_driver = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def module_of(folder: Path) -> DriverModule:
    module: Any = import_module(f"edgemesh.drivers.{folder.name}")
    return module  # type: ignore[no-any-return]


def settings_of(folder: Path, table: object) -> Any:
    return msgspec.convert(table, module_of(folder).Settings, dec_hook=decode_amount)


def sample_of(folder: Path) -> str:
    return (folder / "sample.toml").read_text(encoding="utf-8")


def test_all_are_here() -> None:
    """Every folder of a driver is named in the entry points, and every entry point has its folder."""
    project = tomllib.loads((ROOM.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = project["entry-points"]["edgemesh.drivers"]
    assert named == {folder.name: f"edgemesh.drivers.{folder.name}" for folder in FOLDERS}
    assert {path.parents[1] for path in CASES} == set(FOLDERS)


@each_driver
def test_module(folder: Path) -> None:
    """A driver's module has `Settings` and `create`, each said in words, and `run` is a coroutine."""
    module = module_of(folder)
    assert issubclass(module.Settings, msgspec.Struct)
    assert inspect.getdoc(module)
    driver = module.create(settings_of(folder, tomllib.loads(sample_of(folder))))
    assert inspect.iscoroutinefunction(driver.run)


@each_driver
def test_sample_is_in_the_readme(folder: Path) -> None:
    """The README shows sample.toml to the letter."""
    assert _BLOCK.findall((folder / "README.md").read_text(encoding="utf-8")) == [sample_of(folder)]


@each_driver
def test_commented_values_are_defaults(folder: Path) -> None:
    """In sample.toml what is commented out is the default, and every setting is in it."""
    fields = {field.name: field for field in msgspec.structs.fields(module_of(folder).Settings)}
    shown = tomllib.loads(sample_of(folder))
    defaults = tomllib.loads("\n".join(_DEFAULT.findall(sample_of(folder))))
    assert set(shown) | set(defaults) == set(fields)
    needed = {key: value for key, value in shown.items() if fields[key].required}
    assert settings_of(folder, {**needed, **defaults}) == settings_of(folder, needed)


@each_driver
def test_headings(folder: Path) -> None:
    """All READMEs have the same headings."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    outside = "".join(re.split(r"```.*?```", text, flags=re.DOTALL))
    assert re.findall(r"^#+ .*$", outside, re.MULTILINE) == [
        f"# {folder.name}",
        "## When to use it",
        "## Settings",
        "## What it yields",
        "## When something is wrong",
    ]


@each_driver
def test_unknown_keys(folder: Path) -> None:
    """A setting that does not exist is refused."""
    table = tomllib.loads(sample_of(folder))
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        settings_of(folder, {**table, "colour": "red"})


@each_driver
def test_cancel(folder: Path, tmp_path: Path) -> None:
    """A driver at work stops within a second of being cancelled."""
    (tmp_path / "a.csv").write_text("time,v\n2024-01-01,1\n2024-01-02,2\n")
    tables: dict[str, dict[str, object]] = {
        "mqtt_json": {"topic": "{device}"},
        "replay": {"path": str(tmp_path)},
        "host": {"period": "60s"},
        "count": {},
        "alertmanager": {"token": "a token of the test", "port": 0},
    }
    inlet = FakeInlet()
    driver = module_of(folder).create(settings_of(folder, tables[folder.name]))
    asyncio.run(run_until(driver, inlet, lambda: bool(inlet.samples or inlet.listening)))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_case(path: Path, tmp_path: Path) -> None:
    """What goes in gives the samples, rejections and the error that the case promises, and all is settled once."""
    case = json.loads(path.read_text(encoding="utf-8"))
    assert case["promise"].endswith(".")
    for name, text in case.get("files", {}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    table = json.loads(json.dumps(case["settings"]).replace("{folder}/", f"{tmp_path}/"))
    inlet, error = play(path.parents[1], table, case)

    assert [describe(sample) for sample in inlet.samples] == [expected(sample) for sample in case.get("samples", [])]
    wanted = case.get("rejections", [])
    assert [reason for reason, *_ in inlet.rejections] == [reason for reason, _ in wanted]
    for (_, origin, _, detail), (_, text) in zip(inlet.rejections, wanted, strict=True):
        assert text in f"{origin} {detail}"
    assert inlet.settled == [1] * case.get("settled", 0)
    if "error" in case:
        assert [type(error).__name__, case["error"][1] in str(error)] == [case["error"][0], True], error
    else:
        assert error is None


def play(folder: Path, table: dict[str, object], case: dict[str, Any]) -> tuple[FakeInlet, EdgemeshError | None]:
    """Run the driver until it ended, or everything that the case promises has come."""
    inlet = FakeInlet()
    messages = case.get("messages", [])

    def done() -> bool:
        if inlet.listening and not inlet.settled:
            for message in messages:
                payload = bytes.fromhex(message["hex"]) if "hex" in message else message["payload"].encode()
                inlet.deliver(message["topic"], payload)
        if messages:
            return len(inlet.settled) == len(messages)
        ends_itself = folder.name == "replay" or "error" in case
        return not ends_itself and len(inlet.samples) >= len(case.get("samples", []))

    try:
        asyncio.run(run_until(module_of(folder).create(settings_of(folder, table)), inlet, done))
    except EdgemeshError as error:
        return inlet, error
    return inlet, None


def expected(sample: dict[str, Any]) -> dict[str, Any]:
    at = datetime.fromisoformat(sample["at"])
    at_ns = int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000
    return {"units": dict.fromkeys(sample["values"], "1"), "quality": None, **sample, "at": at_ns}


def describe(sample: Sample) -> dict[str, Any]:
    source = sample.source
    assert all(map(is_id, (source.device, source.asset, *source.metrics)))
    return {
        "device": source.device,
        "asset": source.asset,
        "at": sample.at_ns,
        "values": dict(zip(source.metrics, sample.values, strict=True)),
        "units": dict(zip(source.metrics, source.units, strict=True)),
        "quality": None if sample.quality is None else [int(quality) for quality in sample.quality],
    }


def test_reasons_are_known() -> None:
    """Every reason that a case expects is one of the wire's codes."""
    for path in CASES:
        case = json.loads(path.read_text(encoding="utf-8"))
        assert {reason for reason, _ in case.get("rejections", [])} <= set(Reason)
