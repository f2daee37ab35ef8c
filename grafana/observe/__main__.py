"""Fill an InfluxDB by a real site, ask all that the dashboards ask, and print what each panel found."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from grafana.generator.alerts import rules
from grafana.generator.files import dashboards
from grafana.observe.look import Finding, Lens, look_at, look_at_rules
from grafana.observe.plant import BUCKET, LEAST_S, LONG, play
from grafana.observe.server import influxd


def look_around(lens: Lens) -> list[Finding]:
    """All dashboards and alert rules."""
    found = [finding for name, board in dashboards().items() for finding in look_at(lens, name, board)]
    return [*found, *look_at_rules(lens, rules())]


def table(findings: Sequence[Finding]) -> str:
    """The findings as lines for people."""
    lines = [f"{'dashboard':<12} {'panel':<46} {'one':>6} {'two':>6} {'all':>6}"]
    for each in findings:
        word = "" if each.all else f"  {each.excuse or 'EMPTY'}"
        note = "  EMPTY with fewer values" if not each.is_good and each.all else word
        lines.append(f"{each.board:<12} {each.what:<46} {each.one:>6} {each.two:>6} {each.all:>6}{note}")
    bad = sum(not each.is_good for each in findings)
    lines.append(
        f"{len(findings)} asked, {sum(each.all > 0 for each in findings)} found rows, {bad} found none and should"
    )
    return "\n".join(lines)


def main() -> int:
    """The exit status is 1 if something that must find rows found none."""
    parser = argparse.ArgumentParser(prog="make observability", description=__doc__)
    parser.add_argument(
        "--for", dest="for_s", type=float, default=2 * LEAST_S, help="seconds that the site runs at least"
    )
    options = parser.parse_args()
    program = shutil.which("influxd")
    if program is None:
        print("needs a real InfluxDB 1.x; install it (Debian: apt install influxdb)", file=sys.stderr)
        return 2
    began_ms = time.time_ns() // 1_000_000
    with tempfile.TemporaryDirectory() as name, influxd(program, Path(name), BUCKET, LONG) as server:
        play(server, Path(name), least_s=options.for_s)
        ended_ms = time.time_ns() // 1_000_000
        lens = Lens(server, {"${source}": BUCKET, "${long}": LONG}, began_ms, ended_ms)
        found = look_around(lens)
    print(table(found))
    return 0 if all(each.is_good for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
