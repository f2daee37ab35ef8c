"""The courier of one channel: takes events over from the recorder's file and has them sent, in a thread of its own."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgemesh.errors import StoreError
from edgemesh.notices.breaker import Breaker, State
from edgemesh.notices.channel import Channel, Verdict
from edgemesh.notices.delivery import Deliveries, Delivery
from edgemesh.notices.delivery import State as Outcome
from edgemesh.notices.intake import Moved

logger = logging.getLogger(__name__)

EVERY_S = 1.0
BACKOFF_S = (1.0, 300.0)
"""Between two tries of one event: doubled each time, with up to half of it left to chance."""
LONGEST_WAIT_S = 3_600.0
STOP_S = 2.0
TEXT = 200


class Courier:
    """Sends what waits for `name`, oldest first; an event that failed lets others pass until it is due again.

    The breaker counts failures of all events together. `step` may be called by one thread at a time; `start` makes one
    that does. `notice` is for the recorder's card.
    """

    def __init__(
        self,
        name: str,
        channel: Callable[[], Channel],
        recorder: Path,
        file: Path,
        moved: Moved,
        *,
        tries: int = 100,
        every_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.breaker = Breaker()
        self.notice = ""
        self._make_channel, self._recorder, self._file, self._moved = channel, recorder, file, moved
        self._tries, self._every_s = tries, EVERY_S if every_s is None else every_s
        self._clock, self._wall_ns, self._chance = clock, wall_ns, chance
        self._channel: Channel | None = None
        self._deliveries: Deliveries | None = None
        self._due_s: dict[int, float] = {}
        self._wait_until_s = 0.0
        self._shown = ""
        self._broken = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._run, name=f"notice.{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; a try that is under way is waited for 2 s at most. What was not sent stays in the file."""
        self._stop.set()
        if self._thread:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._stop.wait(self.run_step())
        finally:
            self.close()

    def close(self) -> None:
        """Let go of files and connections; for whoever calls `step` himself."""
        if self._channel is not None:
            self._channel.close()
        if self._deliveries is not None:
            self._deliveries.close()
        self._channel = self._deliveries = None

    def run_step(self) -> float:
        """A step that never raises: what goes wrong is said once, and tried again."""
        try:
            rest_s = self.step()
        except StoreError as error:
            self._say(f"can't be kept: {error}")
        except Exception as error:
            if self.notice == "":
                logger.exception("notice %s: sending failed, going on", self.name)
            self._say(f"{type(error).__name__}: {error}")
        else:
            if self._broken:
                self._broken, self.notice = False, ""
            return rest_s
        self._broken = True
        return self._every_s

    # -- one step -----------------------------------------------------------------------------------------------------

    def step(self) -> float:
        """Take over what came, send one event at most; return after how many seconds the next step is due (0: now)."""
        if self._deliveries is None:
            self._deliveries = Deliveries(self._file, self.name)
        deliveries = self._deliveries
        if self._recorder.exists():
            self._moved.note(self.name, deliveries.take_over(self._recorder))
        now_s = self._clock()
        self._stand()
        held_s = max(self._wait_until_s - now_s, self.breaker.wait_s(now_s))
        if held_s > 0.0:
            return min(held_s, self._every_s)
        if self._channel is None:
            self._channel = self._make_channel()
        due = [each for each in deliveries.waiting() if self._due_s.get(each.id, 0.0) <= now_s]
        if not due:
            self._channel.rest()
            return self._every_s
        self._send(self._channel, deliveries, due[0])
        return 0.0

    def _send(self, channel: Channel, deliveries: Deliveries, delivery: Delivery) -> None:
        self.breaker.begin(self._clock())
        reply = channel.send(delivery.event)
        now_s = self._clock()
        said = _short(reply.said)
        if reply.verdict is Verdict.AGAIN:
            self.breaker.fail(now_s)
        else:
            self.breaker.succeed()
        if reply.verdict in (Verdict.DONE, Verdict.REFUSED):
            self._over(deliveries, delivery, "done" if reply.verdict is Verdict.DONE else "dead", said)
            if self.notice:
                logger.warning("notice %s: the other side answers again", self.name)
                self.notice = ""
            return
        pause_s = self._pause_s(delivery.tries)
        if reply.wait_s is not None or reply.verdict is Verdict.LATER:  # the channel as a whole waits
            wait_s = pause_s if reply.wait_s is None else reply.wait_s
            self._wait_until_s = now_s + min(max(wait_s, 0.0), LONGEST_WAIT_S)
        self._say(said)
        if delivery.tries + 1 >= self._tries:
            self._over(deliveries, delivery, "dead", f"given up after {self._tries} tries: {said}")
            return
        self._due_s[delivery.id] = now_s + (0.0 if reply.verdict is Verdict.LATER else pause_s)
        deliveries.note(delivery, "waiting", said, self._wall_ns())

    def _over(self, deliveries: Deliveries, delivery: Delivery, state: Outcome, said: str) -> None:
        deliveries.note(delivery, state, said, self._wall_ns())
        self._due_s.pop(delivery.id, None)
        if state == "dead":
            logger.error("notice %s: `%s` is not told: %s", self.name, delivery.event.text, said)

    def _pause_s(self, tries: int) -> float:
        first_s, most_s = BACKOFF_S
        return float(min(first_s * 2 ** min(tries, 20), most_s) * (0.5 + 0.5 * self._chance()))

    def _say(self, said: str) -> None:
        if not self.notice:
            logger.warning("notice %s: can't be sent, it waits: %s", self.name, said)
        self.notice = f"notice {self.name} can't be sent: {said}"[:TEXT]

    def _stand(self) -> None:
        """Show how the breaker stands, where that is news."""
        state: State = self.breaker.state(self._clock())
        shown = f"{state} {self.notice}"
        if shown != self._shown and self._deliveries is not None:
            self._deliveries.stand(state.value, self.notice)
            self._shown = shown


def _short(text: str) -> str:
    """What the other side said, as one short line."""
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 4 * TEXT]).split())
    return plain if len(plain) <= TEXT else plain[: TEXT - 1] + "…"
