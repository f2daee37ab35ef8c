"""Running a program with a guard off, or to fail at a point: patched in this one process, then run as ever.

python -m edgemesh.prove.broken --without watermark --fail commit.before:5:kill edgemesh run site.toml
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence

from edgemesh.errors import InputError
from edgemesh.prove import guards, points, poison


def main(arguments: Sequence[str] | None = None) -> None:
    """Patch what the switches say, then run MODULE as `python -m` would. Unknown switches: exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m edgemesh.prove.broken", allow_abbrev=False)
    parser.add_argument("--without", action="append", default=[], metavar="GUARD", help=", ".join(guards.GUARDS))
    parser.add_argument(
        "--fail",
        action="append",
        default=[],
        metavar="POINT:COUNT:ACTION",
        help=f"points: {', '.join(points.POINTS)}; actions: {', '.join(points.ACTIONS)}",
    )
    parser.add_argument("--poison", action="store_true", help=f"every core and sink raises on what names {poison.NAME}")
    parser.add_argument("module", help="edgemesh or firmware_sim")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    given = parser.parse_args(arguments)
    try:
        for name in given.without:
            guards.leave_off(name, given.module)
        for failpoint in [points.read(text) for text in given.fail]:
            points.arm(failpoint, given.module)
        if given.poison and given.module == guards.AGENT:
            poison.arm()
    except InputError as error:
        parser.error(str(error))
    sys.argv = [given.module, *given.arguments]
    runpy.run_module(given.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
