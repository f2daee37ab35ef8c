"""`edgemesh model push` and `rollback`: offers over a bus to real detectors, and what people are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.items import Offered
from edgemesh.bus.contract import Bus, Message
from edgemesh.cli import main
from edgemesh.detect.rollout.stages import RolloutSettings
from edgemesh.detect.settings import DetectSettings
from edgemesh.errors import InputError
from edgemesh.launch import rollout as launch
from edgemesh.launch.rollout import Rollout, make_offers, roll_out
from edgemesh.launch.rollout_text import line_of
from edgemesh.model.agents import Owners, Role
from edgemesh.model.rollouts import ModelFigures, ModelOffer, ModelState, RolloutStage
from edgemesh.model.settings import Seconds
from edgemesh.testing import START_NS, make_sample, make_source
from edgemesh.wire import codec
from tests.unit.agents.site import TOPICS, Site, client, collect, running
from tests.unit.agents.test_rollout import ASSET, CALM, LEARNT, METRICS, UNITS, model

SWIFT = RolloutSettings(shadow_rows=20, shadow_for=Seconds(20.0), canary_for=Seconds(20.0))
SETTINGS = DetectSettings(model=(LEARNT,), rollout=SWIFT)
SOURCE = make_source(f"d-{ASSET}", asset=ASSET, metrics=METRICS, units=UNITS)
Until = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "RETAINED_S", 0.02)
    monkeypatch.setattr(launch, "AGAIN_S", 0.05)
    monkeypatch.setattr(launch, "NOBODY_S", 0.5)


def put(site: Site, first: int, last: int) -> None:
    samples = [make_sample(*CALM[i].tolist(), source=SOURCE, at_s=float(i)) for i in range(first, last)]
    site.agents["gw"].offer(Offered(samples))


def test_a_model_goes_out_and_back_over_the_bus(tmp_path: Path, until: Until) -> None:
    """Pushed, taken in by the detector that owns the asset, on trial over a kill of it, in use; then back; all told."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as bus:
            site.add("gw", Role.GATEWAY, GatewayCore, readers=["detector"])
            site.add("det", Role.DETECTOR, partial(DetectorCore, "det", "site", SETTINGS, {}))
            await site.start()
            bus.publish(TOPICS.owners(), codec.encode(Owners(epoch=1, owners={"gw": "det"})), retain=True)
            put(site, 0, 110)
            await until(lambda: site.core("det").stats["trained"] == 1, 20)  # type: ignore[attr-defined]
            lines: list[str] = []
            going = asyncio.ensure_future(push(bus, [(ASSET, 2, model(CALM[400:]))], lines))
            await until(lambda: any("in the shadow" in line for line in lines), 20)
            put(site, 110, 125)
            await until(lambda: site.core("det").stats["rows"] == 25, 20)  # type: ignore[attr-defined]
            await site.kill("det")
            await site.revive("det")
            for first in range(125, 1000, 5):  # a stage ends with a pack
                if not going.done():
                    put(site, first, first + 5)
                    await asyncio.wait([going], timeout=0.02)
            assert await asyncio.wait_for(going, 20)
            assert "version 2 on probation" in "\n".join(lines)
            assert lines[-1].startswith(f"{ASSET}: version 2 in use, version 2 judges\n  new     ")
            back: list[str] = []
            assert await asyncio.wait_for(push(bus, [(ASSET, 0, b"")], back), 20)
            assert back[-1].startswith(f"{ASSET}: rolled back, version 1 judges: as asked")
            retained = codec.decode_model_state(site.broker.retained[TOPICS.model_state(ASSET)], asset=ASSET)
            assert (retained.stage, retained.used) == (RolloutStage.ROLLED_BACK, 1)
            assert codec.decode_offer(site.broker.retained[TOPICS.model(ASSET)], asset=ASSET).back

    asyncio.run(body())


async def push(bus: Bus, models: Sequence[tuple[str, int, bytes]], lines: list[str], **fields: float) -> bool:
    rollout = Rollout(models, **{"wait_s": 20.0, **fields})
    return await roll_out(bus, TOPICS, rollout, make_offers(rollout), lines.append)


def play_detector(bus: Bus, ends: dict[str, RolloutStage]) -> list[ModelOffer]:
    """A client that says of each offer at once how it ends; what it was offered, in order."""
    offers: list[ModelOffer] = []

    def hear(message: Message) -> None:
        message.settle()
        offer = codec.decode_offer(message.payload, asset=message.topic.rpartition("/")[2])
        offers.append(offer)
        if offer.asset in ends:
            state = ModelState(asset=offer.asset, agent="det", revision=offer.revision, version=offer.version, used=1,
                               stage=ends[offer.asset], since_ns=START_NS, reason="so it is")  # fmt: skip
            bus.publish(TOPICS.model_state(offer.asset), codec.encode(state), retain=True)

    bus.subscribe(TOPICS.model("+"), hear)
    return offers


@pytest.mark.parametrize(
    ("last", "good", "offered"),
    [(RolloutStage.PROMOTED, True, 5), (RolloutStage.REFUSED, False, 1), (RolloutStage.ROLLED_BACK, False, 1)],
)
def test_the_rest_goes_out_when_the_first_share_has_passed(
    tmp_path: Path, last: RolloutStage, good: bool, offered: int
) -> None:
    """One of five first; the others only if that one is in use for good; else they are named as not offered."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site, "cli") as bus, client(site, "det") as other:
            names = [f"pump-{k}" for k in range(5)]
            offers = play_detector(other, dict.fromkeys(names, RolloutStage.PROMOTED) | {"pump-0": last})
            lines: list[str] = []
            assert await push(bus, [(name, 2, b"x") for name in names], lines, share=0.2) is good
            assert len({offer.asset for offer in offers}) == offered
            assert sum("not offered" in line for line in lines) == 5 - offered

    asyncio.run(body())


def test_an_offer_is_newer_than_what_the_broker_has_retained(tmp_path: Path) -> None:
    """Also when the clock of whoever offered last is ahead of ours."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site, "cli") as bus, client(site, "det") as other:
            ahead = ModelOffer(asset="pump-1", revision=2**62, at_ns=0, version=7, content=b"y")
            other.publish(TOPICS.model("pump-1"), codec.encode(ahead), retain=True)
            await asyncio.sleep(0)
            play_detector(other, {"pump-1": RolloutStage.PROMOTED})
            assert await push(bus, [("pump-1", 2, b"x")], [])
            retained = codec.decode_offer(site.broker.retained[TOPICS.model("pump-1")], asset="pump-1")
            assert (retained.revision, retained.version) == (2**62 + 1, 2)

    asyncio.run(body())


def test_nobody_who_watches_the_asset_is_said(tmp_path: Path) -> None:
    """No detector, or none that knows the asset: said after a while; the offer stays; it was said again meanwhile."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site, "cli") as bus, client(site, "ear") as other:
            heard = collect(other, TOPICS.model("+"))
            lines: list[str] = []
            assert not await push(bus, [("nowhere", 2, b"x")], lines)
            assert "nowhere: no detector says a word" in lines[0]
            assert len(heard) > 1
            assert TOPICS.model("nowhere") in site.broker.retained

    asyncio.run(body())


def test_what_takes_longer_goes_on_by_itself(tmp_path: Path) -> None:
    """When the time to wait is over, or somebody offers another model: said, and status 1."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site, "cli") as bus, client(site, "det") as other:
            play_detector(other, {"pump-1": RolloutStage.CANARY})
            lines: list[str] = []
            assert not await push(bus, [("pump-1", 2, b"x")], lines, wait_s=0.1)
            assert "goes on by itself" in lines[-1]
            state = ModelState(asset="pump-1", agent="det", revision=2**62, version=9, used=1,
                               stage=RolloutStage.SHADOW, since_ns=0)  # fmt: skip
            other.publish(TOPICS.model_state("pump-1"), codec.encode(state), retain=True)
            await asyncio.sleep(0)
            assert not await push(bus, [("pump-1", 2, b"x")], lines)
            assert "somebody has offered another model" in lines[-1]

    asyncio.run(body())


def test_what_cannot_go_out_is_said_before_anything_does() -> None:
    """Two models of one asset; one that no broker of ours would take."""
    with pytest.raises(InputError, match="two models of a"):
        make_offers(Rollout([("a", 1, b"x"), ("a", 2, b"y")]))
    import random

    with pytest.raises(InputError, match="720000 fit"):
        make_offers(Rollout([("a", 1, random.Random(1).randbytes(800_000))]))


def test_a_line_says_where_it_stands() -> None:
    """Stage, share of it, who judges, why, and the figures of both."""
    state = ModelState(
        asset="pump-1", agent="det", revision=1, version=3, used=2, stage=RolloutStage.CANARY, since_ns=0, done=0.4,
        new=ModelFigures(rows=120, alerts=1, firing_s=12.0, high=0.015, median=0.3, top=0.85, us_per_row=61.0),
        former=ModelFigures(rows=120),
    )  # fmt: skip
    assert line_of(state).splitlines() == [
        "pump-1: version 3 on probation 40%, version 2 judges",
        "  new     120 rows, 1 alerts for 12 s, score 0.30 in the middle and 0.85 at 99 %, 1.5% high, 61 us a row",
        "  former  120 rows, 0 alerts for 0 s, score 0.00 in the middle and 0.00 at 99 %, 0.0% high",
    ]


CONFIG = """
[site]
id = "small"
data = "{data}"
broker = "127.0.0.1:9"

[[gateway]]
id = "gateway-1"

[detector]
agents = ["detector"]

[registry]
"""


def test_the_command_checks_files_first(tmp_path: Path) -> None:
    """Half a file is refused without a broker; a sound one asks for the broker: status 2 and one line each."""
    config, file = tmp_path / "site.toml", tmp_path / "p.json"
    config.write_text(CONFIG.format(data=tmp_path / "data"))
    content = model(CALM)
    file.write_bytes(content[:-100])
    half = CliRunner().invoke(main, ["model", "push", str(file), str(config)])
    assert (half.exit_code, "perhaps only a part of one" in half.output) == (2, True), half.output
    file.write_bytes(content)
    alone = CliRunner().invoke(main, ["model", "push", str(file), str(config), "--wait", "nonsense"])
    assert (alone.exit_code, "expected a duration" in alone.output) == (2, True), alone.output
    missing = CliRunner().invoke(main, ["model", "push", str(tmp_path / "none.json"), str(config)])
    assert (missing.exit_code, "can't be read" in missing.output) == (2, True), missing.output
    assert json.loads(file.read_bytes())["name"] == ASSET
