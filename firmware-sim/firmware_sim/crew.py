"""The crew on MQTT: one connection, one card and one executor per person."""

import asyncio
import json
import logging
import time
import uuid
from collections import deque
from pathlib import Path

import aiomqtt

from firmware_sim.broker import Broker, Watch
from firmware_sim.executor import Answer, Begin, Bid, Effect, Executor, Habits, Mend, Now, Save
from firmware_sim.link import Lane, Link, Outgoing
from firmware_sim.listing import Order, decode, decode_call
from firmware_sim.memory import Memory, MemoryFile
from firmware_sim.pacing import ticks
from firmware_sim.people import HEARTBEAT_S, Person, card

log = logging.getLogger("firmware_sim")


class Member:
    """A person at work: hears the dispatch list and the hall, and carries out what the executor decides.

    With `file` the executor's memory survives kill -9; it is on the disk before any effect that rests on it. With
    `ledger` each beginning of work is a line of that file: `ORDER ATTEMPT NAME AT_NS`. With `verdicts` it says with
    each work done what was found.
    """

    def __init__(
        self,
        person: Person,
        site: str,
        broker: Broker,
        watch: Watch,
        *,
        habits: Habits | None = None,
        seed: int = 0,
        file: MemoryFile | None = None,
        ledger: Path | None = None,
        verdicts: bool = False,
    ) -> None:
        self._person, self._site, self._file, self._ledger = person, site, file, ledger
        self._verdicts = verdicts
        memory = file.load() if file is not None else Memory()
        self._executor = Executor(person.name, person.skills, habits, seed, memory)
        self._incarnation = uuid.uuid4().hex
        self._beat = 0
        base = f"edgemesh/v1/{site}"
        self._card_topic = f"{base}/agent/{person.name}"
        self._dispatch_topic = f"{base}/dispatch/{person.name}"
        self._answer_topic = f"{base}/answer/{person.name}"
        self._order_topics = f"{base}/state/order/"
        self._repair_topic = f"firmware-sim/{site}/repair"
        self._repaired_topic = f"firmware-sim/{site}/repaired"
        self._inbox: deque[tuple[str, bytes]] = deque()
        self._back = False
        self._stir = asyncio.Event()
        self._cards = Lane(limit=2)
        self._answers = Lane(durable=True)
        self._link = Link(
            broker,
            f"{site}-{person.name}",
            watch,
            [self._cards, self._answers],
            topics=(self._dispatch_topic, self._repaired_topic, self._order_topics + "+"),
            on_message=self._hear,
            on_up=self._up,
            will=aiomqtt.Will(self._card_topic, self._card("down"), qos=1, retain=True),
            farewell=self._farewell,
        )

    async def connect(self) -> None:
        """Keeps the connection up until cancelled."""
        await self._link.run()

    async def beat(self) -> None:
        """Shows the card once per heartbeat until cancelled."""
        async for _ in ticks(HEARTBEAT_S):
            self._show()

    async def work(self) -> None:
        """Deals with lists, repairs and time until cancelled. Raises OSError if the memory cannot be kept."""
        loop = asyncio.get_running_loop()
        while True:
            for effect in self._attend():
                self._carry_out(effect)
            wake_s = self._executor.wake_s
            try:
                async with asyncio.timeout(None if wake_s is None else max(0.0, wake_s - loop.time())):
                    await self._stir.wait()
            except TimeoutError:
                continue

    def _attend(self) -> list[Effect]:
        """Everything that has come in, then what time itself brings."""
        self._stir.clear()
        now = Now(asyncio.get_running_loop().time(), time.time_ns())
        if self._back:
            self._back = False
            self._executor.reconnected(now)
        effects: list[Effect] = []
        while self._inbox:
            effects += self._read(*self._inbox.popleft(), now)
        return effects + self._executor.tick(now)

    def _read(self, topic: str, payload: bytes, now: Now) -> list[Effect]:
        try:
            if topic == self._dispatch_topic:
                return self._executor.follow(decode(payload, self._person.name), now)
            if topic.startswith(self._order_topics):
                called = decode_call(payload)
                return [] if called is None else self._executor.call(called, now)
            reply = json.loads(payload)
        except (ValueError, RecursionError) as error:
            log.warning("%s ignored a message on %s: %s", self._person.name, topic, error)
            return []
        if not isinstance(reply, dict) or reply.get("executor") != self._person.name:
            return []
        verdict = str(reply.get("verdict", "")) if self._verdicts else ""
        return self._executor.repaired(
            str(reply.get("order")), reply.get("fits") is True, str(reply.get("note", "")), now, verdict
        )

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Save():
                if self._file is not None:
                    self._file.save(effect.memory)
            case Answer():
                self._answer(effect)
            case Bid():
                self._answers.put(self._answer_topic, effect.payload(self._person.name))
            case Begin():
                self._begin(effect)
            case Mend():
                self._answers.put(self._repair_topic, self._repair(effect.order))

    def _answer(self, answer: Answer) -> None:
        payload = answer.payload(self._person.name)
        if (self._answer_topic, payload, False) in self._answers:
            return
        self._answers.put(self._answer_topic, payload)
        if answer.again:
            return
        mark = answer.mark
        log.info("%s: order %s attempt %d %s %s", self._person.name, answer.order[:8], mark.attempt,
                 mark.answer, f"({mark.note})" if mark.note else "")  # fmt: skip
        self._show()

    def _begin(self, begun: Begin) -> None:
        name, order, mark = self._person.name, begun.order.order, begun.mark
        if self._ledger is not None:
            with self._ledger.open("a", encoding="utf-8") as ledger:
                ledger.write(f"{order} {mark.attempt} {name} {mark.at_ns}\n")
        log.info("%s: order %s attempt %d begun", name, order[:8], mark.attempt)

    def _repair(self, order: Order) -> bytes:
        body = {
            "asset": order.asset,
            "executor": self._person.name,
            "skills": self._person.skills,
            "order": order.order,
            "title": order.title,
            "cause": order.cause,
        }
        return json.dumps(body, separators=(",", ":")).encode()

    def _hear(self, topic: str, payload: bytes) -> None:
        self._inbox.append((topic, payload))
        self._stir.set()

    def _up(self) -> None:
        self._back = True
        self._stir.set()
        self._show()

    def _show(self) -> None:
        self._beat += 1
        self._cards.put(self._card_topic, self._card("up"), retain=True)

    def _card(self, state: str) -> bytes:
        return card(self._person, self._incarnation, self._beat, self._executor.load, state)

    def _farewell(self) -> Outgoing:
        self._beat += 1
        return self._card_topic, self._card("down"), True


async def play(member: Member) -> None:
    """Everything that one person does, until cancelled; the first failure ends it and is raised."""
    async with asyncio.TaskGroup() as group:
        group.create_task(member.connect())
        group.create_task(member.beat())
        group.create_task(member.work())
