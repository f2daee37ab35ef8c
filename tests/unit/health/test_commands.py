"""A level changed over the bus: by whom it is obeyed, and what is said to who asks."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Iterator

import pytest
from click.testing import CliRunner

from edgemesh.bus.contract import Bus
from edgemesh.bus.memory import MemoryBroker
from edgemesh.commands.levels import log_level
from edgemesh.errors import InputError
from edgemesh.health.commands import obey
from edgemesh.health.levels import name_of
from edgemesh.health.logs import LogOutput
from edgemesh.launch import levels
from edgemesh.launch.levels import command
from edgemesh.model.commands import Command, LogLevel
from edgemesh.testing import make_card
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

TOPICS = Topics("hall-1")
Until = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """The root logger as it was."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


class Agent:
    """A name, a connection, and what was refused."""

    def __init__(self, broker: MemoryBroker, name: str) -> None:
        self.name, self.bus = name, broker.client(name)
        self.refused: list[str] = []

    def refuse(self, reason: str, origin: str, payload: bytes, detail: str = "") -> None:
        self.refused.append(reason)


class Stage:
    """An agent that obeys, an operator, and the agent's output."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.agent = Agent(self.broker, "detector-1")
        self.output = LogOutput("info", stream=io.StringIO())
        self.operator: Bus = self.broker.client("operator")

    async def open(self) -> None:
        obey(self.agent, TOPICS, self.output)
        await self.agent.bus.open()
        await self.operator.open()
        async with asyncio.timeout(5):
            while not (self.operator.linked and self.agent.bus.linked):
                await asyncio.sleep(0)
        self.operator.publish(TOPICS.card("detector-1"), codec.encode(make_card("detector-1")), retain=True)
        self.operator.publish(TOPICS.card("old"), codec.encode(make_card("old", up=False)), retain=True)
        self.operator.publish(TOPICS.card("mute"), codec.encode(make_card("mute")), retain=True)

    def level(self) -> str:
        return name_of(self.output.levels.of("detector-1"))


def order(level: LogLevel, for_s: float = 0.0) -> Command:
    return Command(id="0" * 32, log_level=level, for_s=for_s)


def test_an_agent_obeys_and_says_so() -> None:
    """The level changes, for as long as was asked, and the operator reads what came of it."""

    async def body() -> None:
        stage = Stage()
        await stage.open()
        said = await command(stage.operator, TOPICS, "detector-1", order(LogLevel.DEBUG, 600.0))
        assert (said, stage.level()) == ("detector-1 logs what is at least debug for 600 s", "debug")
        said = await command(stage.operator, TOPICS, "detector-1", order(LogLevel.ERROR))
        assert (said, stage.level()) == ("detector-1 logs what is at least error until it is started again", "error")
        said = await command(stage.operator, TOPICS, "detector-1", order(LogLevel.USUAL))
        assert (said, stage.level()) == ("detector-1 logs what is at least info, as usual", "info")

    asyncio.run(body())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("detektor-1", "site hall-1 has no agent `detektor-1` (did you mean `detector-1`?)"),
        ("zzz", "site hall-1 has no agent `zzz` (there are: detector-1, mute, old)"),
        ("old", "old: is down (start it first)"),
        ("mute", "mute: says nothing within 0 s"),
    ],
)
def test_silence_is_explained(name: str, problem: str) -> None:
    """An unknown agent, one that is down, and one that takes no commands are told apart."""

    async def body() -> str:
        stage = Stage()
        await stage.open()
        with pytest.raises(InputError) as caught:
            await command(stage.operator, TOPICS, name, order(LogLevel.DEBUG), within_s=0.1)
        return str(caught.value)

    assert asyncio.run(body()).startswith(problem)


def test_what_is_no_command_changes_nothing(until: Until) -> None:
    """A retained command is ignored, a broken one is kept in the quarantine with its reason, and the next is obeyed."""

    async def body() -> None:
        stage = Stage()
        early = stage.broker.client("early")
        await early.open()
        await until(lambda: early.linked)
        early.publish(TOPICS.command("detector-1"), codec.encode(order(LogLevel.DEBUG)), retain=True)
        await stage.open()
        stage.operator.publish(TOPICS.command("detector-1"), b'{"v":1,"id":"x"}')
        stage.operator.publish(TOPICS.command("detector-1"), b"")
        await until(lambda: stage.agent.refused)
        assert (stage.level(), len(stage.agent.refused)) == ("info", 1)
        await command(stage.operator, TOPICS, "detector-1", order(LogLevel.WARNING))
        assert stage.level() == "warning"

    asyncio.run(body())


def test_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """`edgemesh log-level` says what the agent says, and what is wrong in one line with status 2."""
    stage = Stage()

    async def connect(*place: object) -> tuple[Bus, Topics]:
        nonlocal stage
        stage = Stage()
        await stage.open()
        return stage.operator, TOPICS

    monkeypatch.setattr(levels, "connect", connect)
    run = CliRunner().invoke
    good = run(log_level, ["detector-1", "debug", "--for", "10min"])
    assert (good.output, good.exit_code) == ("detector-1 logs what is at least debug for 600 s\n", 0)
    assert stage.level() == "debug"
    monkeypatch.setattr(levels, "ANSWER_S", 0.1)
    for arguments, problem in (
        (["detektor-1", "debug"], "did you mean `detector-1`?"),
        (["detector-1", "loud"], "'loud' is not one of 'debug'"),
        (["detector-1", "debug", "--for", "10 years"], "expected a duration with its unit"),
        (["detector-1", "debug", "--for", "8d"], "7d at most"),
        (["a/b", "debug"], "'a/b' is no name of an agent"),
    ):
        bad = run(log_level, arguments)
        assert bad.exit_code == 2
        assert problem in bad.output
