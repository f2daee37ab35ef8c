"""The dashboards have the form that Grafana 13.2 publishes as TypeScript: its compiler says so."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grafana.generator.files import dashboards

Json = dict[str, Any]
HERE = Path(__file__).parent / "grafana_types"
HEAD = "import type { Annotation, Frame, Panels, Variable } from './shapes';"
SITE = dashboards()["site"]
BROUGHT_S = 120


def give_up(hint: str) -> None:
    """Skip with a hint, but fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(hint)
    pytest.skip(hint)


@pytest.fixture(scope="module")
def compiler() -> Path:
    """The folder with compiler and types: in the virtual environment, brought by npm once for each lock file."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        give_up("needs npm for the types of Grafana; install it (Debian: apt install npm)")
        raise AssertionError
    folder = Path(sys.prefix) / "grafana-types"
    lock = (HERE / "package-lock.json").read_bytes()
    done = folder / "done"
    if not done.exists() or done.read_bytes() != lock:
        folder.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        command = [npm, "ci", "--no-audit", "--no-fund"]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=BROUGHT_S)
        except subprocess.CalledProcessError as error:
            give_up(f"npm can't bring the types of Grafana: {error.stderr.decode(errors='replace')[-300:]}")
        except subprocess.TimeoutExpired:
            give_up(f"npm did not bring the types of Grafana within {BROUGHT_S} s")
        done.write_bytes(lock)
    return folder


def compiled(folder: Path, lines: list[str]) -> list[str]:
    """What the compiler says about such lines of TypeScript."""
    for name in ("shapes.ts", "tsconfig.json"):
        shutil.copy(HERE / name, folder)
    (folder / "boards.ts").write_text("\n".join([HEAD, *lines, ""]), encoding="utf-8")
    program = ["node", str(folder / "node_modules" / "typescript" / "bin" / "tsc"), "--pretty", "false"]
    said = subprocess.run(program, cwd=folder, capture_output=True, text=True)
    return said.stdout.splitlines()


def constants(board: Json) -> Iterator[str]:
    """A dashboard as typed constants, one for each part, so that the compiler checks each to its last property."""
    name = board["uid"].replace("-", "_")
    parts = [(f"Panels[{json.dumps(panel['type'])}]", panel) for panel in board["panels"]]
    parts += [("Variable", variable) for variable in board["templating"]["list"]]
    parts += [("Annotation", mark) for mark in board["annotations"]["list"]]
    parts.append(("Frame", {key: board[key] for key in board if key not in ("panels", "templating", "annotations")}))
    for number, (kind, part) in enumerate(parts):
        yield f"export const {name}_{number}: {kind} = {json.dumps(part)};"


def part(kind: str, *path: str | int) -> Callable[[Any], str]:
    """A constant of a part of the site overview whose value at `path` is another."""

    def made(value: Any) -> str:
        board = copy.deepcopy(SITE)
        whole: Any = board
        for key in path[:-1]:
            whole = whole[key]
        whole[path[-1]] = value
        chosen: Any = board
        for key in path[: 2 if path[0] == "panels" else 3]:
            chosen = chosen[key]
        return f"export const wrong: {kind} = {json.dumps(chosen)};"

    return made


STAT = part('Panels["stat"]', "panels", 0, "options", "colorMode")
WRONG = [
    STAT("colour"),
    part('Panels["stat"]', "panels", 0, "options", "colourMode")("value"),
    part('Panels["stat"]', "panels", 0, "fieldConfig", "defaults", "units")("s"),
    part('Panels["stat"]', "panels", 0, "gridPos", "h")("4"),
    part('Panels["stat"]', "panels", 0, "targets", 0, "resultFormat")("rows"),
    part('Panels["stat"]', "panels", 0, "type")("graph"),
    part("Variable", "templating", "list", 1, "refresh")(7),
    part("Variable", "templating", "list", 1, "multiple")(True),
    part("Annotation", "annotations", "list", 0, "target", "textColumns")("cause"),
    f"export const wrong: Frame = {json.dumps({'title': 'x', 'schemaVersion': 42, 'colour': 'red'})};",
]


def test_every_dashboard_has_the_published_form(compiler: Path) -> None:
    """No property that Grafana does not know, no value that it does not take, nothing that it needs is missing."""
    lines = [line for board in dashboards().values() for line in constants(board)]
    assert len(lines) > 150
    assert compiled(compiler, lines) == []


def test_what_is_wrong_is_noticed(compiler: Path) -> None:
    """Each of these mistakes is an error of its own."""
    renamed = [line.replace("wrong", f"wrong_{n}") for n, line in enumerate(WRONG)]
    right = STAT("value").replace("wrong", "right")
    said = compiled(compiler, [right, *renamed])
    # Line 1 is the import, line 2 is right.
    found = {int(line.partition("(")[2].partition(",")[0]) for line in said if line.startswith("boards.ts(")}
    assert found == set(range(3, 3 + len(WRONG))), said
