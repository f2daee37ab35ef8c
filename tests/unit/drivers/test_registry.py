"""Finding drivers by their entry points."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgemesh.drivers.registry import Plugin, find_driver, installed
from edgemesh.errors import ConfigError


def install(folder: Path, name: str, points: str, version: str = "1.2") -> None:
    """Put a distribution with these entry points into a folder of the path."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[edgemesh.drivers]\n{points}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_found_and_only_that_one(site: Path) -> None:
    """The wanted driver is imported, its neighbours are not."""
    (site / "modbus_here.py").write_text("class Settings: ...\ndef create(settings): ...\n")
    (site / "opcua_here.py").write_text("raise SystemExit('imported for nothing')\n")
    install(site, "acme-drivers", "modbus_x = modbus_here\nopcua_x = opcua_here")
    assert callable(find_driver("modbus_x").create)
    assert "opcua_here" not in sys.modules
    assert Plugin("opcua_x", "opcua_here", "acme-drivers", "1.2") in installed()


def test_nearest_name(site: Path) -> None:
    """An unknown name gets the nearest right one and the list of all."""
    install(site, "acme-drivers", "modbus_x = modbus_here\nopcua_x = opcua_here")
    with pytest.raises(ConfigError) as error:
        find_driver("modbus_y")
    assert error.value.problem == "no driver is named 'modbus_y'"
    assert "did you mean 'modbus_x'? installed: " in error.value.wish
    assert "opcua_x" in error.value.wish


def test_two_of_one_name(site: Path) -> None:
    """Two distributions that claim one name are both named, none is guessed; one that is found twice is one."""
    install(site / "a", "acme", "modbus_x = here_a")
    for folder in ("a", "b"):
        sys.path.insert(0, str(site / folder))
    try:
        install(site / "b", "acme", "modbus_x = here_a")
        with pytest.raises(ConfigError, match="can't be imported"):
            find_driver("modbus_x")
        install(site / "b", "other", "modbus_x = here_b")
        with pytest.raises(ConfigError, match="several drivers are named 'modbus_x': here_a, here_b"):
            find_driver("modbus_x")
    finally:
        del sys.path[:2]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("broken", "import nothing_like_this\n", "can't be imported: No module named 'nothing_like_this'"),
        ("empty", "", "is no driver, it has no `Settings` and no `create`"),
    ],
)
def test_no_driver(site: Path, name: str, text: str, problem: str) -> None:
    """A module that can't be imported or is no driver says so, and where it comes from."""
    (site / f"{name}_here.py").write_text(text)
    install(site, "acme", f"{name} = {name}_here")
    with pytest.raises(ConfigError, match=r"it comes from acme 1\.2") as error:
        find_driver(name)
    assert problem in error.value.problem
