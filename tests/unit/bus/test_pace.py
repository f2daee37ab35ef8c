"""The room for bulk, against links of known speed."""

from __future__ import annotations

import pytest

from edgemesh.bus.pace import FIRST_BYTES, LEAST_BYTES, MOST_BYTES, TARGET_S, Pace

MESSAGE = 400


def test_there_is_room_to_spare_where_answers_come_at_once() -> None:
    """Not behind a queue, however long the way is; on a long way an answer takes its time."""
    for delay_s, spare in ((0.01, True), (0.6, True)):
        pace = Pace()
        for number in range(20):
            pace.sent(number, MESSAGE, float(number))
            pace.acknowledged(number, number + delay_s)
            assert pace.has_spare is spare
        pace.sent(99, MESSAGE, 99.0)
        pace.acknowledged(99, 99.0 + 2.5 * max(delay_s, 0.05))
        assert not pace.has_spare


def test_there_is_nothing_to_spare_while_much_is_under_way() -> None:
    """What nobody waits for goes when hardly anything else does."""
    pace = Pace()
    pace.sent(1, FIRST_BYTES // 2, 0.0)
    assert (pace.is_open, pace.has_spare) == (True, False)
    pace.acknowledged(1, 0.01)
    assert pace.has_spare


class Wire:
    """A link that carries `rate` bytes a second after a delay, in order; it is always offered more bulk than fits."""

    def __init__(self, rate: float, delay_s: float) -> None:
        self.pace = Pace()
        self.now_s = 100.0
        self.waits: list[float] = []
        self._rate, self._delay_s = rate, delay_s
        self._free_s = 0.0
        self._number = 0
        self._acks: list[tuple[float, int, float]] = []

    def run(self, seconds: float) -> None:
        """Let time pass from acknowledgement to acknowledgement."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            while self.pace.is_open and len(self._acks) < 2_000:
                self._send()
            at_s, number, sent_s = self._acks.pop(0)
            self.now_s = max(self.now_s, at_s)
            self.waits.append(self.now_s - sent_s)
            self.pace.acknowledged(number, self.now_s)

    def _send(self) -> None:
        self._number += 1
        self._free_s = max(self._free_s, self.now_s) + MESSAGE / self._rate
        self._acks.append((self._free_s + self._delay_s, self._number, self.now_s))
        self.pace.sent(self._number, MESSAGE, self.now_s)


@pytest.mark.parametrize(("rate", "delay_s"), [(8_000, 0.05), (8_000, 0.3), (2_000, 0.1), (50_000, 0.6)])
def test_nothing_waits_long_behind_bulk_on_a_slow_link(rate: float, delay_s: float) -> None:
    """Bulk stays so little ahead that what is sent now is through in little over a second, and the link stays busy."""
    wire = Wire(rate, delay_s)
    wire.run(30.0)
    wire.waits.clear()
    wire.run(60.0)
    assert max(wire.waits) < max(TARGET_S, 2 * delay_s, LEAST_BYTES / rate + delay_s) + 0.5
    assert len(wire.waits) * MESSAGE > 0.9 * 60 * rate


def test_a_fast_link_is_not_held_back() -> None:
    """On a link of 10 MB/s the room opens within half a second and stays open."""
    wire = Wire(10e6, 0.001)
    wire.run(0.5)
    sent = len(wire.waits)
    wire.run(1.0)
    assert (len(wire.waits) - sent) * MESSAGE > 8e6
    assert FIRST_BYTES < wire.pace.room <= MOST_BYTES


def test_one_message_of_any_size_may_go() -> None:
    """A message larger than the room is sent when nothing else is under way; behind it nothing is."""
    pace = Pace()
    seen = [pace.is_open]
    pace.sent(1, 10 * FIRST_BYTES, 0.0)
    seen.append(pace.is_open)
    pace.acknowledged(1, 50.0)
    assert [*seen, pace.is_open] == [True, False, True]
    assert pace.under_way == 0


def test_what_is_not_under_way_can_not_be_acknowledged() -> None:
    """A stray acknowledgement changes nothing."""
    pace = Pace()
    pace.acknowledged(7, 1.0)
    assert (pace.under_way, pace.room) == (0, FIRST_BYTES)
