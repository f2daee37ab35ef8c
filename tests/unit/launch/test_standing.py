"""Looking at what stands on a site, and telling its scheduler: over a bus, with the scheduler's core behind it."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.bus.contract import Bus, Message
from edgemesh.bus.memory import MemoryBroker
from edgemesh.cli import main
from edgemesh.commands import standing as commands
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.errors import InputError
from edgemesh.launch import standing as launch
from edgemesh.launch.standing import Standing, Watch, command
from edgemesh.model.agents import Role
from edgemesh.model.commands import Acknowledgement, Command, Silencing
from edgemesh.model.packs import Alerts
from edgemesh.model.silences import Silence
from edgemesh.testing import make_card
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics, parse
from tests.unit.dispatch.plant import START, S, alert

TOPICS = Topics("hall-1")
ID = "ab" * 16
ASKED = Silencing(by="ana", reason="oil change", for_s=600.0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is retained on a bus in memory is there at once."""
    monkeypatch.setattr(launch, "QUIET_S", 0.02)
    monkeypatch.setattr(launch, "ANSWER_S", 0.5)


async def opened(broker: MemoryBroker, name: str) -> Bus:
    bus = broker.client(name)
    await linked(bus)
    return bus


async def linked(bus: Bus) -> None:
    await bus.open()
    async with asyncio.timeout(5):
        while not bus.linked:
            await asyncio.sleep(0)


class Scheduler:
    """A scheduler's core on a bus: it obeys, and shows what it has."""

    def __init__(self, broker: MemoryBroker, *, deaf: bool = False) -> None:
        self.bus = broker.client("scheduler")
        self.core = SchedulerCore("scheduler", "hall-1", DispatchSettings(), {})
        self.core.tick(START)
        self._deaf = deaf

    async def open(self) -> None:
        self.bus.subscribe(TOPICS.command("scheduler"), self.hear)
        await linked(self.bus)
        self.bus.publish(
            TOPICS.card("scheduler"), codec.encode(make_card("scheduler", role=Role.SCHEDULER)), retain=True
        )

    def hear(self, message: Message) -> None:
        message.settle()
        if not self._deaf:
            order = codec.decode_command(message.payload)
            self.core.handle(order)
            self.show()
            reply = self.core.reply(order.id)
            assert reply is not None
            self.bus.publish(TOPICS.reply("scheduler"), codec.encode(reply))

    def take(self, *alerts: Any) -> None:
        self.core.handle(Alerts(agent="d", epoch="e", seq=1, lowest=1, at_ns=START, records=alerts))
        self.show()

    def show(self) -> None:
        for tail, record in self.core.news().items():
            self.bus.publish(TOPICS.below(tail), codec.encode(record) if record else b"", retain=True)


def test_a_command_is_done_when_it_shows() -> None:
    """The scheduler's retained topic is the answer: a silence that is set is there for all who look."""
    asyncio.run(_set_a_silence())


async def _set_a_silence() -> None:
    broker = MemoryBroker()
    scheduler, operator = Scheduler(broker), await opened(broker, "operator")
    await scheduler.open()
    found = await command(
        operator, TOPICS, lambda _: ("scheduler", Command(id=ID, silence=ASKED)), lambda now: ID in now.silences
    )
    assert found.silences[ID].reason == "oil change"
    another = await opened(broker, "another")
    assert (await Watch(another, TOPICS).gather()).silences == found.silences
    for bus in (operator, another, scheduler.bus):
        await bus.close()


def test_who_is_not_there_or_does_nothing_is_named() -> None:
    """Without a scheduler, and with one that does not obey, the person is told so."""
    asyncio.run(_ask_in_vain())


async def _ask_in_vain() -> None:
    broker = MemoryBroker()
    operator = await opened(broker, "operator")

    def make(standing: Standing) -> tuple[str, Command]:
        return standing.scheduler(), Command(id=ID, silence=ASKED)

    with pytest.raises(InputError, match="no scheduler"):
        await command(operator, TOPICS, make, lambda now: ID in now.silences)
    scheduler = Scheduler(broker, deaf=True)
    await scheduler.open()
    with pytest.raises(InputError, match="scheduler"):
        await command(operator, TOPICS, make, lambda now: ID in now.silences)
    await operator.close()
    await scheduler.bus.close()


class Desk:
    """A site for the command line: what is told changes what stands, as the scheduler would."""

    def __init__(self) -> None:
        self.core = SchedulerCore("scheduler", "hall-1", DispatchSettings(), {})
        self.core.tick(START)

    @property
    def standing(self) -> Standing:
        shown = Standing(cards={"scheduler": make_card("scheduler", role=Role.SCHEDULER)})
        for tail, record in self.core.present(None).items():
            if record is not None:
                shown.take(parse(TOPICS.below(tail)), codec.encode(record))
        return shown

    def look(self, *_: object) -> Standing:
        return self.standing

    def tell(self, config: object, broker: object, site: object, make: Any, done: Any) -> None:
        agent, order = make(self.standing)
        assert agent == "scheduler"
        self.core.handle(order)
        assert done(self.standing)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    monkeypatch.setattr(commands, "_look", made.look)
    monkeypatch.setattr(commands, "_tell", made.tell)
    return made


def call(*words: str) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def unsure(number: int) -> Any:
    return msgspec.structs.replace(alert(number=number, cause="flow is odd"), confidence=0.6)


def test_an_alert_is_acknowledged_by_who_watches_its_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command goes to the owner of the alert's gateway; without one the person is told so."""
    shown, told = Standing(alerts={alert().id: alert()}), list[tuple[str, Command]]()
    monkeypatch.setattr(commands, "_tell", lambda _config, _broker, _site, make, _done: told.append(make(shown)))
    words = ["ack", alert().id[:12], "--by", "ana"]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, "no detector watches gw1" in result.output) == (2, True)
    shown.owners = {"gw1": "detector-2"}
    assert "acknowledged" in call(*words)
    ((agent, order),) = told
    assert (agent, order.ack) == ("detector-2", Acknowledgement(alert=alert().id, by="ana"))


def test_silences_by_the_command_line(desk: Desk) -> None:
    """Set, listed for people and programs, and ended by the beginning of its id."""
    words = ["--asset", "pump-*", "--up-to", "warning", "--for", "2h", "--reason", "oil change", "--by", "ana"]
    name = call("silence", "add", *words).strip()
    table = call("silence", "list")
    assert "pump-*" in table
    assert "oil change" in table
    (found,) = json.loads(call("silence", "list", "--json"))
    assert found["id"] == name
    assert found["end_ns"] == START + 7200 * S
    assert isinstance(desk.standing.silences[name], Silence)
    assert "over" in call("silence", "end", name[:6])
    assert call("silence", "list") == "none\n"


def test_reviews_by_the_command_line(desk: Desk) -> None:
    """What waits is listed; confirmed it becomes an order, dismissed it is gone."""
    pack = Alerts(agent="d", epoch="e", seq=1, lowest=1, at_ns=START, records=(unsure(1), unsure(2)))
    desk.core.handle(pack)
    assert call("review", "list").count("flow is odd") == 2
    assert "confirmed" in call("review", "confirm", unsure(1).id, "--by", "ana")
    assert "dismissed" in call("review", "dismiss", unsure(2).id[:10])
    assert call("review", "list", "--json") == "[]\n"
    (order,) = json.loads(call("orders", "--json"))
    assert order["alert"] == unsure(1).id
    assert "P-101" in call("orders")
    assert call("alerts") == "none\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["silence", "end", "abc"], "there is no silence `abc`"),
        (["review", "confirm", "abc"], "there is no alert that waits `abc`"),
        (["silence", "add", "--for", "2h"], "--reason"),
        (["silence", "add", "--for", "9000d", "--reason", "x"], "366d"),
    ],
)
def test_mistakes_are_told(desk: Desk, words: list[str], problem: str) -> None:
    """What is wrong with a call is said, with exit status 2."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert problem in result.output


def test_ids_that_begin_alike_are_not_guessed(desk: Desk) -> None:
    """The beginning of two ids names none of them."""
    for name in (f"ab{secrets.token_hex(15)}", f"ab{secrets.token_hex(15)}"):
        desk.core.handle(Command(id=name, silence=ASKED))
    result = CliRunner().invoke(main, ["silence", "end", "ab"])
    assert result.exit_code == 2
    assert "2 ids begin so" in result.output


def test_help_fits_a_terminal() -> None:
    """No line of the help is longer than 100 columns."""
    for words in ([], ["alerts"], ["orders"], ["ack"], ["silence", "add"], ["silence", "list"], ["review", "confirm"]):
        assert max(map(len, call(*words, "--help").splitlines())) <= 100


def test_files_need_no_network(tmp_path: Path) -> None:
    """A site whose broker is not there is named, not waited for."""
    config = tmp_path / "site.toml"
    config.write_text('[site]\nid = "hall-1"\nbroker = "embedded"\ndata = "' + str(tmp_path / "data") + '"\n')
    result = CliRunner().invoke(main, ["alerts", str(config)])
    assert result.exit_code == 2
    assert "no embedded broker" in result.output
