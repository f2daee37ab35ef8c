"""What `stage = "gateway"` goes together with, and what is said where it does not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgemesh.configuration.loading import load
from edgemesh.errors import ConfigError
from edgemesh.launch.plant import build
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Stage

SITE = '[site]\nid = "s"\ndata = "{data}"\nbroker = "mqtt://127.0.0.1:1"\n'
GATEWAY = '[[gateway]]\nid = "gw"\n'
SENTRY = '[detector]\nagents = ["gw-sentry"]\nstage = "gateway"\n'
RULE = '[[detection.rule]]\nkind = "silent"\n'


def write(folder: Path, *parts: str) -> Path:
    file = folder / "site.toml"
    file.write_text((SITE + "".join(parts)).replace("{data}", str(folder / "data")))
    return file


def test_a_sentry_needs_no_registry(tmp_path: Path) -> None:
    """It is told by nobody what to watch; the site's detectors are elsewhere, and their role does not run here."""
    settings = load(write(tmp_path, GATEWAY, SENTRY, RULE)).settings
    assert settings.agents() == [(Role.GATEWAY, "gw"), (Role.SENTRY, "gw-sentry")]
    assert settings.roles() == {Role.GATEWAY, Role.SENTRY}


def test_detectors_are_of_the_site_unless_said_otherwise(tmp_path: Path) -> None:
    """Names and roles are what they were."""
    settings = load(write(tmp_path, "[detector]\n")).settings
    assert settings.detector is not None
    assert (settings.detector.stage, settings.detector.agents) == (Stage.SITE, ("detector-1",))
    assert settings.detector.withdraw_after == 20.0


@pytest.mark.parametrize(
    ("parts", "path", "said"),
    [
        ((SENTRY, RULE), "detector.stage", r"add \[\[gateway\]\]"),
        ((GATEWAY, '[detector]\nstage = "gateway"\n', RULE), "detector.agents", r"agents = \[\"gw-sentry\"\]"),
        (
            (GATEWAY, '[detector]\nstage = "gateway"\nagents = ["a", "b"]\n', RULE),
            "detector.agents",
            "more than the one sentry",
        ),
        ((GATEWAY, SENTRY, RULE, "[[detection.model]]\n"), "detection.model", "file of the site's detector"),
        ((GATEWAY, SENTRY), "detection", r"add \[\[detection.rule\]\]"),
        ((GATEWAY, '[detector]\nstage = "edge"\n', RULE), "detector.stage", "edge"),
        ((GATEWAY, '[detector]\nagents = ["gw"]\nstage = "gateway"\n', RULE), "", "two agents are called `gw`"),
        ((GATEWAY, "[dispatch]\nconfirm_within = -1\n"), "dispatch.confirm_within", "-1"),
    ],
)
def test_what_a_sentry_can_not_do_is_said(tmp_path: Path, parts: tuple[str, ...], path: str, said: str) -> None:
    """Where in the file, and what would be right; a plug-in is a model, too."""
    with pytest.raises(ConfigError, match=said) as caught:
        load(write(tmp_path, *parts))
    assert caught.value.path == path


def test_a_sentry_does_not_run_without_its_gateway(tmp_path: Path) -> None:
    """It reads what the gateway of its process commits: alone it would wait for ever."""
    configuration = load(write(tmp_path, GATEWAY, SENTRY, RULE))

    async def body() -> None:
        with pytest.raises(ConfigError, match="--role gateway --role sentry"):
            await build(configuration, names=frozenset({"gw-sentry"}))
        plant = await build(configuration)
        assert len(plant.local) == 1
        for agent in plant.agents.values():
            agent.engine.journal.close()

    asyncio.run(body())
