"""A gateway of several assets changes hands, some of its rows come late: no excursion is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.settings import DetectSettings, LimitRule
from edgemesh.log.follower import Follower
from edgemesh.log.outbox import Cursor
from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from edgemesh.model.settings import Seconds
from tests.unit.agents.test_handover import open_alerts, standing

S = 10**9
ASSETS = 3
RULE = LimitRule(name="high", metric="level", above=0.5, clear=0.5, hold=Seconds(0), clear_hold=Seconds(0))


def pack(seq: int, level: float, live: int) -> Readings:
    """Row `seq`, taken at second `seq`: one sample of one asset; the assets take turns."""
    turn = (seq - 1) % ASSETS
    batch = Batch(
        device=f"d{turn}", asset=f"a{turn}", metrics=("level",), units=("1",), at_ns=(seq * S,), values=((level,),)
    )
    return Readings(agent="gw", epoch="e1", seq=seq, lowest=1, at_ns=0, records=(batch,), live=live)


@dataclass
class Owner:
    """A detector that owns the gateway for a while; `said` is all that it ever said."""

    levels: Sequence[float]
    core: DetectorCore = field(default_factory=lambda: DetectorCore("det", "plant", DetectSettings(rule=(RULE,)), {}))
    follower: Follower = field(default_factory=lambda: Follower.begin_after(None))
    said: list[Alert] = field(default_factory=list)
    jumped: bool = False

    @property
    def at(self) -> Cursor:
        return self.follower.position or Cursor("e1", 0)

    def take(self, seq: int, live: int, now_ns: int) -> None:
        """Take a row, if it is one to be taken; in a rehearsal only in order."""
        wanted = 0 if self.core.rehearses("gw") else live
        if self.follower.receive("e1", seq, 1, wanted).take:
            self.said += self.core.tick(now_ns)
            self.said += self.core.handle(pack(seq, self.levels[seq - 1], live))

    def choices(self) -> list[str]:
        """What may come next: the oldest row that is missing, the next live one, or the first of a live lane."""
        rows, at = len(self.levels), self.at
        if self.core.rehearses("gw"):
            return ["old"]
        jump = ["jump"] if at.through and at.top + 2 <= rows and not self.jumped else []
        return ["old", *jump, *(["new"] * 3 if at.ahead and at.top < rows else []), *([] if at.ahead else ["late"])]


def play(levels: Sequence[float], owners: int, data: st.DataObject) -> tuple[list[Alert], bool]:
    """All that the owners say one after the other; and whether a lane began in the midst of two excursions.

    Those two are one to whoever begins it, see `test_lanes.hidden`.
    """
    said: list[Alert] = []
    before: Owner | None = None
    mark, now_ns, hidden = Cursor("e1", 0), 1_000 * S, False
    for number in range(owners):
        owner = Owner(levels)
        if before is not None:
            owner.core.adopt("gw", open_alerts(said), mark)
        left = before.core.release("gw") if before is not None else []
        met = data.draw(st.integers(0, 10))
        rows = data.draw(st.integers(1, len(levels))) if number < owners - 1 else 10 * len(levels)
        live = 0
        for taken in range(rows):
            if taken == met:
                owner.said += [each for alert in left for each in owner.core.meet(alert)]
            choice, top = data.draw(st.sampled_from(owner.choices())), owner.at.top
            seq = owner.at.through + 1 if choice != "new" else top + 1
            if choice == "late":  # it comes in order, but had to wait
                live = (
                    max(live, data.draw(st.integers(top + 1, min(len(levels), top + 10))))
                    if top < len(levels)
                    else live
                )
            if choice == "jump":
                seq = live = data.draw(st.integers(top + 2, min(len(levels), top + 12)))
                owner.jumped = True
                hidden = hidden or hides(levels, top, seq)
            if seq > len(levels):
                break
            now_ns += S // 10
            owner.take(seq, live, now_ns)
            mark = mark if owner.core.rehearses("gw") else owner.at
        said += owner.said
        before = owner
    for _ in range(3):  # what was not said yet is said when nothing more comes
        now_ns += 12 * S
        said += owner.core.tick(now_ns)
    return said, hidden


def rows_of(asset: int, levels: Sequence[float]) -> range:
    return range(asset + 1, len(levels) + 1, ASSETS)


def hides(levels: Sequence[float], top: int, live: int) -> bool:
    for asset in range(ASSETS):
        known = [row for row in rows_of(asset, levels) if row <= top]
        between = [row for row in rows_of(asset, levels) if top < row < live]
        news = [row for row in rows_of(asset, levels) if row >= live]
        up = known and news and levels[known[-1] - 1] and levels[news[0] - 1]
        if up and not all(levels[row - 1] for row in between):
            return True
    return False


def excursions(levels: Sequence[float]) -> list[tuple[str, int, int]]:
    """Asset, first and last row of each."""
    found: list[tuple[str, int, int]] = []
    for asset in range(ASSETS):
        above = False
        for row in rows_of(asset, levels):
            if levels[row - 1]:
                first = found.pop()[1] if above else row
                found.append((f"a{asset}", first, row))
            above = bool(levels[row - 1])
    return found


@st.composite
def histories(draw: st.DrawFn) -> tuple[float, ...]:
    levels = draw(st.lists(st.sampled_from([0.0, 0.0, 1.0]), min_size=8, max_size=36))
    return (*levels, *(0.0,) * 4 * ASSETS)


def shown(excursion: tuple[str, int, int], alert: Alert) -> bool:
    """Whether the alert is about it: began with it, or stood for something older when it began."""
    asset, first, last = excursion
    onset = alert.onset_at_ns // S
    return alert.asset == asset and (first <= onset <= last or onset <= first <= alert.at_ns // S)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(), st.integers(1, 3), st.data())
def test_no_excursion_is_forgotten(levels: tuple[float, ...], owners: int, data: st.DataObject) -> None:
    """Whoever has seen which of its rows, live or late, each has its alert."""
    said, hidden = play(levels, owners, data)
    alerts = list(standing(said).values())
    assert hidden or not [each for each in excursions(levels) if not any(shown(each, alert) for alert in alerts)]


def test_what_stood_before_a_hole_and_was_not_said_is_not_forgotten() -> None:
    """The owner before put it off until the hole was filled, and its newer rows show it calm: the next one says it."""
    levels = (0.0, 0.0, 0.0, 1.0, *(0.0,) * 16)
    first, second = Owner(levels), Owner(levels)
    for seq, live in [(1, 0), (2, 0), (7, 7), (3, 7), (4, 7)]:
        first.take(seq, live, 1_000 * S)
    assert (first.said, first.at) == ([], Cursor("e1", 4, ((7, 7),)))
    second.core.adopt("gw", [], first.at)
    for seq in range(1, len(levels) + 1):
        second.take(seq, 0, 1_001 * S)
    assert [(alert.asset, alert.onset_at_ns // S, alert.past) for alert in second.said] == [("a0", 4, True)]


def test_an_excursion_of_which_only_the_end_is_held_is_not_said_again() -> None:
    """Older rows are gone: to the newcomer it begins later, and is not the one that stands open for all that."""
    levels = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, *(0.0,) * 16)
    first, second = Owner(levels), Owner(levels)
    for seq, live in [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (14, 14)]:
        first.take(seq, live, 1_000 * S)
    (stands,) = open_alerts(first.said)
    second.core.adopt("gw", [stands], Cursor("e1", 7, ((14, 14),)))
    second.follower = Follower.begin_after(Cursor("e1", 6))
    for seq in range(7, len(levels) + 1):
        second.take(seq, 0, 1_001 * S)
    assert {alert.id for alert in second.said} == {stands.id}
    assert not open_alerts([*first.said, *second.said])


def test_an_excursion_that_began_before_the_oldest_row_goes_on_as_the_one_that_stands() -> None:
    """Without a mark the newcomer begins in the midst of it, in late rows; then it meets what stands."""
    levels = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, *(0.0,) * 16)
    first, second = Owner(levels), Owner(levels)
    for seq in range(1, 8):
        first.take(seq, 0, 1_000 * S)
    (stands,) = open_alerts(first.said)
    second.core.adopt("gw", [], None)
    second.follower = Follower.begin_after(Cursor("e1", 6))
    for seq in range(7, len(levels) + 1):
        if seq == 9:
            second.said += second.core.meet(stands)
        second.take(seq, 20, 1_001 * S)
    assert [(alert.id, alert.past) for alert in second.said] == [(stands.id, False)]
    assert not open_alerts([*first.said, *second.said])
