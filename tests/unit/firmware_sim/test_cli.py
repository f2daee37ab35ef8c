"""The command line explains itself and refuses nonsense before anything starts."""

import pytest
from click.testing import CliRunner

from firmware_sim.cli import main
from firmware_sim.faults import FAULTS
from firmware_sim.hall import Hall


def test_list_names_everything() -> None:
    """All faults, devices and people."""
    result = CliRunner().invoke(main, ["list"])
    assert result.exit_code == 0
    for name in (*FAULTS, *Hall(0).devices, "ana", "eve"):
        assert name in result.output


@pytest.mark.parametrize("command", [[], ["hall"], ["crew"], ["plant"], ["list"], ["inject"], ["repair"]])
def test_help(command: list[str]) -> None:
    """Every command has help."""
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    ("arguments", "wish"),
    [
        (["hall", "--speed", "1", "--period", "0.1"], "whole number of simulated seconds"),
        (["hall", "--broker", "localhost"], "expected mqtt://host:port"),
        (["hall", "--site", "a/b"], "no site id"),
        (["crew", "--person", "ana"], "expected name:skill+skill"),
        (["inject", "gremlins", "--asset", "pump-101"], "gremlins"),
    ],
)
def test_usage_errors(arguments: list[str], wish: str) -> None:
    """Exit code 2, and what was wished for."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert wish in result.output
