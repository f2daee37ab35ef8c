"""How often a reader speaks: one watermark tells what many would."""

from __future__ import annotations

import asyncio
import time

from edgemesh.agents.reader import SAY_EVERY_S, Reader
from edgemesh.agents.roles import ROLES
from edgemesh.bus.contract import Message
from edgemesh.bus.memory import MemoryBroker
from edgemesh.log.journal import Cursor
from edgemesh.model.agents import Role
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

TOPICS = Topics("test")
MOVES = 200


async def _run(moves: int) -> list[int]:
    """Move the cursor so many times in a row; return what the producer heard until it heard the last."""
    broker, heard = MemoryBroker(), list[int]()
    ours, theirs = broker.client("recorder"), broker.client("gateway")

    def take(message: Message) -> None:
        heard.append(codec.decode_watermark(message.payload).through)
        message.settle()

    theirs.subscribe(TOPICS.watermark("gateway", "+"), take)
    for bus in (ours, theirs):
        await bus.open()
    deadline_s = time.monotonic() + 5.0
    while not (ours.linked and theirs.linked) and time.monotonic() < deadline_s:
        await asyncio.sleep(0)
    reader = Reader(ours, TOPICS, {}, group="recorder", traits=ROLES[Role.RECORDER])
    for through in range(1, moves + 1):
        reader.moved({"gateway": Cursor("ab", through)})
    while moves not in heard and time.monotonic() < deadline_s:
        await asyncio.sleep(SAY_EVERY_S / 10)
    for bus in (ours, theirs):
        await bus.close()
    return heard


def test_the_first_is_said_at_once_and_the_last_soon() -> None:
    """Of many cursors in a moment the first and the last are said, and hardly any between."""
    heard = asyncio.run(_run(MOVES))
    assert heard[0] == 1
    assert heard[-1] == MOVES
    assert heard == sorted(heard)
    assert len(heard) < MOVES / 4
