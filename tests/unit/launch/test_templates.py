"""`edgemesh templates`."""

from __future__ import annotations

from click.testing import CliRunner

from edgemesh.cli import main
from edgemesh.detect.templates import TEMPLATES


def test_templates_are_listed_and_shown() -> None:
    """The list has all of them; one of them shows levels for the parameters that were given, action and source."""
    listed = CliRunner().invoke(main, ["templates"])
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.output.splitlines()] == list(TEMPLATES)
    shown = CliRunner().invoke(main, ["templates", "pump-iso10816-7", "--set", "category=I", "--set", "power_kw=250"])
    assert shown.exit_code == 0
    for words in ("> 5, for 1min", "> 7.6, for 10s", "ISO 10816-7:2009", "balance", "source"):
        assert words in shown.output


def test_a_slip_of_the_pen_is_answered_with_the_right_name() -> None:
    """Status 2, one line, no traceback; for names, parameters and their form."""
    for arguments, hint in (
        (["templates", "pump-iso"], "pump-iso10816-7"),
        (["templates", "pump-iso10816-7", "--set", "kategory=I"], "category"),
        (["templates", "pump-iso10816-7", "--set", "category"], "power_kw=15"),
    ):
        found = CliRunner().invoke(main, arguments)
        assert found.exit_code == 2
        assert hint in found.output
        assert len(found.output.splitlines()) == 1
