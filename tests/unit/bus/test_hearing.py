"""When a silent link is given up."""

from __future__ import annotations

from edgemesh.bus.hearing import ASK_CHECKS, CHECK_S, DEAD_CHECKS, DEAF_CHECKS, Hearing, Step


def steps(hearing: Hearing, count: int, *, arrived: int = 0, waiting: int = 0) -> list[Step]:
    return [hearing.check(arrived, waiting) for _ in range(count)]


def test_a_silent_link_is_asked_and_then_given_up_within_three_seconds() -> None:
    """Silence is answered with pings, and with the end after 2.4 s."""
    seen = steps(Hearing(), DEAD_CHECKS)
    assert [number for number, step in enumerate(seen, 1) if step is Step.ASK] == [ASK_CHECKS, 2 * ASK_CHECKS]
    assert seen.index(Step.END) == DEAD_CHECKS - 1
    assert (DEAD_CHECKS + 1) * CHECK_S < 3.0


def test_whatever_comes_is_a_sign_of_life() -> None:
    """A link over which answers come in time is never given up."""
    hearing = Hearing()
    for _ in range(50):
        assert Step.END not in steps(hearing, DEAD_CHECKS - 1)
        hearing.answered()


def test_messages_without_answers_are_believed_for_half_a_minute() -> None:
    """Who hears others but gets no answer has a link that is dead one way; a queue of messages may have delayed it."""
    hearing = Hearing()
    seen = []
    for _ in range(DEAF_CHECKS):
        hearing.heard()
        seen += steps(hearing, 1)
    assert seen.index(Step.END) == DEAF_CHECKS - 1
    assert 20 < DEAF_CHECKS * CHECK_S < 60


def test_a_large_message_on_a_slow_link_is_waited_for() -> None:
    """While what was sent before the ping still arrives, its answer can't be here yet; afterwards it must come."""
    hearing = Hearing()
    arrived, waiting = 0, 200_000
    seen = []
    while waiting > 0:
        seen.append(hearing.check(arrived, waiting))
        arrived, waiting = arrived + 2_400, waiting - 2_400
    assert Step.END not in seen
    assert Step.END in steps(hearing, DEAD_CHECKS, arrived=arrived)


def test_a_large_message_that_does_not_get_on_is_not_waited_for() -> None:
    """Bytes that wait and do not arrive are no sign of life."""
    assert steps(Hearing(), DEAD_CHECKS, arrived=5_000, waiting=200_000)[-1] is Step.END


def test_a_proxy_that_confirms_everything_does_not_hide_a_dead_broker() -> None:
    """Once the ping has arrived it must be answered, however much is confirmed after it."""
    hearing = Hearing()
    seen = [hearing.check(1_000 * number, 0) for number in range(DEAD_CHECKS)]
    assert seen[-1] is Step.END
