"""What a core tells beside its log: only what a step has committed, and each of it once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from edgemesh.agents.core import Input
from edgemesh.agents.engine import Engine
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.intake import Intake
from edgemesh.agents.items import Heard, Item
from edgemesh.errors import LogError
from edgemesh.log.journal import Journal
from edgemesh.model.agents import Role
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Record
from edgemesh.model.told import Score
from edgemesh.testing import START_NS, FixedClock, make_readings, make_sample, payload_of
from tests.conftest import Until
from tests.unit.agents.site import SOURCE, running
from tests.unit.agents.test_engine import Ledger, Tally


class Scored(Tally):
    """Tells a score for each pack of readings."""

    def __init__(self) -> None:
        super().__init__()
        self._news: list[Score] = []

    def handle(self, pack: Input) -> Sequence[Record]:
        if isinstance(pack, Readings):
            self._news.append(Score(asset="pump", gateway=pack.agent, at_ns=START_NS + pack.seq, score=1.0))
        return super().handle(pack)

    def asides(self) -> Sequence[Score]:
        news, self._news = self._news, []
        return news


def heard(seq: int) -> Item:
    pack = make_readings([1.0], agent="gw", seq=seq)
    return Heard("readings", "gw", "edgemesh/v1/s/log/readings/gw", payload_of(pack), lambda: None)


def test_what_is_told_was_committed_and_is_told_once(tmp_path: Path) -> None:
    """A step whose commit fails tells nothing; when it comes again, it tells what it has to, once."""
    ledger = Ledger()
    with closing(Journal.open(tmp_path / "agent.db", "agent-1")) as journal:
        engine = Engine(journal, Scored, FixedClock(), writes="alerts", sinks=[ledger])
        assert [score.at_ns - START_NS for score in engine.step([heard(1)]).asides] == [1]
        ledger.fails = [LogError("the disk is away")]
        items = [heard(2), heard(3)]
        with pytest.raises(LogError):
            engine.step(items)
        assert [score.at_ns - START_NS for score in engine.step(items).asides] == [2, 3]
        assert engine.step([heard(3)]).asides == []


def test_a_running_agent_holds_it_ready(tmp_path: Path, until: Until) -> None:
    """What steps have to tell waits at the runtime for whoever tells it."""

    async def body() -> None:
        async with running(tmp_path) as site:
            gateway = site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
            reader = site.add("recorder", Role.RECORDER, Scored)
            await site.start()
            Intake(gateway).put([make_sample(1.0, source=SOURCE)])
            await until(lambda: reader.asides)
            assert [score.gateway for score in reader.asides] == ["gw"]

    asyncio.run(body())
