"""What a lane does to packets."""

from __future__ import annotations

import random

import pytest

from edgemesh.prove.weather import CALM, GONE, Lane, Weather


def lane(weather: Weather) -> Lane:
    return Lane(random.Random("weather"), weather)


def test_calm_weather_changes_nothing() -> None:
    """Every packet arrives once, when it was sent."""
    calm = lane(CALM)
    assert [calm.arrivals(100, number / 10) for number in range(5)] == [(number / 10,) for number in range(5)]


def test_what_is_gone_arrives_never() -> None:
    """A direction that drops everything loses every packet, and counts it."""
    gone = lane(GONE)
    assert [gone.arrivals(100, 0.0) for _ in range(5)] == [()] * 5
    assert (gone.carried, gone.lost) == (0, 5)


def test_losses_and_copies_come_as_often_as_said() -> None:
    """Of 10,000 packets the shares that were asked for are lost and doubled."""
    bad = lane(Weather(loss=0.05, doubled=0.02))
    copies = [len(bad.arrivals(100, 0.0)) for _ in range(10_000)]
    assert copies.count(0) == pytest.approx(500, rel=0.2)
    assert copies.count(2) == pytest.approx(190, rel=0.25)


def test_jitter_lets_packets_overtake_each_other() -> None:
    """Delays stay within the jitter, and the order changes."""
    bad = lane(Weather(delay_s=0.3, jitter_s=0.1))
    arrivals = [bad.arrivals(100, number / 1000)[0] for number in range(100)]
    assert all(0.2 <= at_s - number / 1000 <= 0.4 for number, at_s in enumerate(arrivals))
    assert arrivals != sorted(arrivals)


def test_a_rate_spaces_packets_and_a_full_queue_loses_them() -> None:
    """8,000 bytes a second carry a packet of 1,000 in an eighth of a second; what the queue can't hold is lost."""
    slow = lane(Weather(rate=8_000.0, queue_bytes=4_000))
    arrivals = [slow.arrivals(1_000, 0.0) for _ in range(6)]
    assert arrivals == [(0.125,), (0.25,), (0.375,), (0.5,), (), ()]
    assert slow.arrivals(1_000, 10.0) == (10.125,)


def test_one_seed_is_one_weather() -> None:
    """The same chance gives the same losses, so that a failure can be had again."""
    weather = Weather(delay_s=0.1, jitter_s=0.1, loss=0.3, doubled=0.3)
    first, second = lane(weather), lane(weather)
    assert [first.arrivals(9, 1.0) for _ in range(99)] == [second.arrivals(9, 1.0) for _ in range(99)]
