"""Coverage-guided fuzzing of every target: only what a decoder documents may come out of it.

python -m tests.fuzz.run [--seconds 60] [--target NAME] [--keep] [--replay FILE]

What is found on the way lands in `.fuzz/`; `--keep` adds what reaches new code to `corpus/`. A finding is written to
`.fuzz/crashes/`, shown, and run again with `--target NAME --replay FILE`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import io
import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
FOUND = ROOT / ".fuzz"
CRASHES = FOUND / "crashes"
MAX_BYTES = 4_096
MAX_FILES = 20
"""Of each target so many inputs are kept in the corpus at most."""
_RAW = (
    *("true", "null", "-1", "0", "1.5", "NaN", "1e999", "9223372036854775807", "9223372036854775808", '"\\ud800"'),
    *("[]", "{}", '""', '"a b"', "1e308", "-1e308", "5e-324", "[[]]", '"2"', "946684800000000000", "[null]"),
)


def main() -> int:
    """Fuzz all targets, or one, for so many seconds in all; exit status 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together (default 60)")
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--keep", action="store_true", help="add what reaches new code to the corpus")
    parser.add_argument("--replay", type=Path, help="run one input through --target, without a fuzzer")
    given = parser.parse_args()
    if given.replay:
        return _replay(given.target, given.replay)
    if importlib.util.find_spec("atheris") is None:
        print("fuzzing needs atheris: pip install -e '.[dev]' (there are wheels for Linux on x86-64)", file=sys.stderr)
        return 2
    return _run_all(given.target, given.seconds, keep=given.keep)


def _replay(target: str, file: Path) -> int:
    from tests.fuzz.targets import TARGETS

    TARGETS[target](file.read_bytes())
    print(f"{target}: {file} is taken or refused as it should be")
    return 0


def _run_all(only: str | None, seconds: float, *, keep: bool) -> int:
    """Import once, then fuzz each target in a fork of this process, as many at a time as there are processors."""
    began_s = time.monotonic()
    _targets()
    names = [only] if only else sorted(_targets())
    workers = min(len(names), os.cpu_count() or 1)
    share_s = max(1, round((seconds - (time.monotonic() - began_s)) * workers / len(names)))
    CRASHES.mkdir(parents=True, exist_ok=True)
    running: dict[int, str] = {}
    runs, broken = 0, []
    waiting = list(names)
    while waiting or running:
        while waiting and len(running) < workers:
            name = waiting.pop(0)
            running[_fork(name, [f"-max_total_time={share_s}", str(FOUND / name), str(CORPUS / name)])] = name
        process, status = os.wait()
        name = running.pop(process)
        said = _log(name).read_text(errors="replace")
        count = int((re.findall(r"^#(\d+)\s", said, re.MULTILINE) or ["0"])[-1])
        runs += count
        print(f"{name:<16} {count:>9,} inputs" + (", and a finding:" if status else ""), flush=True)
        if status:
            broken.append(name)
            _show(name, said)
        elif keep:
            _keep(name)
    print(f"{len(names)} targets, {runs:,} inputs in {time.monotonic() - began_s:.0f} s: ", end="")
    print(f"findings in {', '.join(broken)}" if broken else "only what is documented came out")
    return int(bool(broken))


def _log(name: str) -> Path:
    return FOUND / f"{name}.log"


def _show(name: str, said: str) -> None:
    print(_story(said))
    for crash in sorted(CRASHES.glob(f"{name}-*")):
        print(f"  {crash.read_bytes()[:400]!r}")
        print(f"  again: python -m tests.fuzz.run --target={name} --replay={crash.relative_to(ROOT)}", flush=True)


def _story(said: str) -> str:
    """The trace of a finding, without the fuzzer's own words."""
    found = re.search(r"=== Uncaught Python exception: ===(.*?)==\d+==", said, re.DOTALL)
    return found[1].strip() if found else said[-3000:]


def _keep(name: str) -> None:
    """Add to the corpus what has reached something new, the smallest first."""
    kept = CORPUS / name
    room = MAX_FILES - len(list(kept.iterdir()))
    fresh = sorted((file for file in (FOUND / name).iterdir()), key=lambda file: file.stat().st_size)
    for file in fresh[: max(0, room)]:
        shutil.copy(file, kept / file.name)


# -- in the process that fuzzes ----------------------------------------------------------------------------------------


@functools.cache
def _targets() -> Mapping[str, Callable[[bytes], None]]:
    """The targets, their code instrumented so that the fuzzer sees which inputs reach something new."""
    import atheris

    with (
        contextlib.redirect_stderr(io.StringIO()),
        atheris.instrument_imports(include=["edgemesh", "firmware_sim", "json", "tests.fuzz.targets"]),
    ):
        from tests.fuzz.targets import TARGETS
    return TARGETS


def _fork(name: str, flags: list[str]) -> int:
    """Run the fuzzer on one target in a process of its own; its words go into a log."""
    for folder in (FOUND / name, CORPUS / name):
        folder.mkdir(parents=True, exist_ok=True)
    process = os.fork()
    if process:
        return process
    log = os.open(_log(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    _fuzz(name, flags)
    os._exit(0)


def _fuzz(name: str, flags: list[str]) -> None:
    """Fuzz one target in this process, which ends here."""
    import atheris

    bounds = [f"-max_len={MAX_BYTES}", f"-artifact_prefix={CRASHES}/{name}-", "-timeout=20", "-rss_limit_mb=1500"]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        changed = _mutate_json(data, chance) if chance.random() < 0.5 else None
        plain: bytes = atheris.Mutate(data, max_size) if changed is None else changed
        return plain[:max_size]

    atheris.Setup([sys.argv[0], *bounds, *flags], _targets()[name], custom_mutator=mutate)
    atheris.Fuzz()


def _mutate_json(data: bytes, chance: random.Random) -> bytes | None:
    """Change one place of a document as an adversary would who knows JSON; None when it is no document."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    places = [((), document), *_places(document, ())]
    path, value = chance.choice(places)
    raw = chance.choice((*_RAW, json.dumps(chance.choice(places)[1])))
    if isinstance(value, int | float) and abs(value) < 1e300 and chance.random() < 0.5:
        raw = json.dumps(chance.choice((-value, value + 1, value * 10, value * 10**9, value // 1000)))
    return _with(document, path, raw).encode("utf-8", "surrogatepass")


def _places(node: Any, path: tuple[Any, ...]) -> list[tuple[tuple[Any, ...], Any]]:
    inner = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [place for key, value in inner for place in (((*path, key), value), *_places(value, (*path, key)))]


def _with(document: Any, path: tuple[Any, ...], raw: str) -> str:
    if not path:
        return raw
    node = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = "@@hole@@"
    return json.dumps(document, separators=(",", ":")).replace('"@@hole@@"', raw, 1)


if __name__ == "__main__":
    sys.exit(main())
