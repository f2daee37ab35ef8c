"""The `[dispatch]` section: deadlines, verification, and which alert needs which skills."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from edgemesh.model.agents import Certificates
from edgemesh.model.alerts import AlertKind, Severity
from edgemesh.model.ids import Id
from edgemesh.model.orders import Priority, Skills
from edgemesh.model.schedules import parse_schedule
from edgemesh.model.settings import Seconds, Settings

Glob = Annotated[str, Meta(min_length=1, max_length=200)]


class WhenCleared(enum.StrEnum):
    """What becomes of an order whose alert clears before work began."""

    CANCEL = "cancel"
    KEEP = "keep"


class StrategyName(enum.StrEnum):
    """How one of the able is chosen; `strategies.STRATEGIES` has what each does."""

    LEAST_LOADED = "least-loaded"
    ROUND_ROBIN = "round-robin"
    NEAREST = "nearest"
    STICKY = "sticky"
    AUCTION = "auction"


Weight = Annotated[float, Meta(ge=0.0, le=1e6)]


class AuctionSettings(Settings, frozen=True, kw_only=True):
    """`[dispatch.auction]`: for how long bids are taken, and what weighs how much in the price of a bid.

    The price is the sum of `cost` for each unit of money, `travel` for each minute on the way, `load` for each order in
    hand, `unreliable` for somebody who has kept no order so far (nothing for who has kept them all), and `energy` for
    each unit of energy times the card's weight. The least price wins. `speed` (m/s) is how fast those walk who do not
    say when they would be there.
    """

    window: Seconds = Seconds(0.2)
    cost: Weight = 1.0
    travel: Weight = 1.0
    load: Weight = 10.0
    unreliable: Weight = 10.0
    energy: Weight = 1.0
    speed: Annotated[float, Meta(gt=0.0, le=1000.0)] = 1.4


class TriageRule(Settings, frozen=True, kw_only=True):
    """One row of triage: what an alert looks like, and what is to be done about it.

    A rule matches when `kind` (none given: any) and `asset_class` fit and one evidence of the alert fits both `metric`
    and `rule`; `metric`, `rule` and `asset_class` are globs, upper and lower case are one. `skills` maps a skill to the
    least grade (0..1); one executor must meet them all. A skill nobody mentions has grade 0, so a least grade of 0 is a
    wish: among equals who has it comes first. `priority` is that of a critical alert on an asset of
    criticality A; each step down in severity or criticality is one step down in priority. `{asset}`, `{device}` and
    `{metric}` in `title` are filled in.
    """

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    skills: Skills
    cause: Annotated[str, Meta(max_length=200)] = ""
    kind: AlertKind | None = None
    metric: Glob = "*"
    rule: Glob = "*"
    asset_class: Glob = "*"
    priority: Priority = Priority.P1


class SilenceWindow(Settings, frozen=True, kw_only=True):
    """`[[dispatch.silence]]`: alerts that fit open no order while the schedule `when` is open.

    `asset` and `area` are globs, `severity` is that up to which it counts.
    """

    when: Annotated[str, Meta(min_length=1, max_length=200)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    asset: Glob = "*"
    area: Glob = "*"
    kind: AlertKind | None = None
    severity: Severity | None = None

    def __post_init__(self) -> None:
        parse_schedule(self.when)


class WhenUnreviewed(enum.StrEnum):
    """What becomes of an alert that nobody has looked at in time."""

    OPEN = "open"
    DISMISS = "dismiss"


class ReviewSettings(Settings, frozen=True, kw_only=True):
    """`[dispatch.review]`: an alert whose confidence is `below` waits for a person, for `time_out` at most."""

    below: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.85
    time_out: Seconds = Seconds(1800.0)
    then: WhenUnreviewed = WhenUnreviewed.OPEN


class FlappingSettings(Settings, frozen=True, kw_only=True):
    """`[dispatch.flapping]`: `count` alerts of one asset and kind `within` so long flap; their order stays until they
    have been `calm`.
    """

    count: Annotated[int, Meta(ge=2, le=100)] = 3
    within: Seconds = Seconds(60.0)
    calm: Seconds = Seconds(600.0)


class GroupSettings(Settings, frozen=True, kw_only=True):
    """`[dispatch.group]`: silent devices wait `within` for others.

    A gateway that is down, or behind which so many `assets` are silent, gets one order for all of them. So many such
    `gateways` of an area get one together, and so do as many of an area behind which anything fell silent within a
    minute.
    """

    within: Seconds = Seconds(5.0)
    assets: Annotated[int, Meta(ge=2, le=10_000)] = 3
    gateways: Annotated[int, Meta(ge=2, le=10_000)] = 3


class DispatchSettings(Settings, frozen=True, kw_only=True):
    """The `[dispatch]` section.

    An alert that a sentry has raised on its gateway opens an order once a detector of the site has not judged it for
    `confirm_within`, or after 5 s without any detector.
    `answer_within` after a dispatch an executor has accepted or refused; `work_within` after accepting it is done.
    After done the alert must stay cleared for `verify_for`; still there `reopen_after` done, the order is reopened. An
    alert of the same kind within `rework_within` of a verified order opens one that says it is rework. When nobody is
    left the order is escalated, and those who were asked are asked again after `retry_after`.
    Rules of `triage` come before the table of causes; the first that matches wins. `causes` is a file with a table in
    the place of the built-in one, found from the folder of the configuration. With `verify_by_cause` the alert must
    stay cleared for as long as the table says of the cause, where it says so. An alert that is not critical opens an
    order once it has stood for `open_after`; one that clears before work began cancels it when nothing has come back
    within `cancel_after`.

    `strategy` chooses among the able. `weights` say how much each skill counts in how well somebody suits (1 where none
    is given), `least_match` is the least weighted mean of the grades, and `certificates` what whoever uses a skill must
    have besides those of the asset.
    """

    confirm_within: Seconds = Seconds(30.0)
    answer_within: Seconds = Seconds(30.0)
    work_within: Seconds = Seconds(4 * 3600.0)
    verify_for: Seconds = Seconds(60.0)
    reopen_after: Seconds = Seconds(600.0)
    rework_within: Seconds = Seconds(7 * 86400.0)
    retry_after: Seconds = Seconds(60.0)
    when_cleared: WhenCleared = WhenCleared.CANCEL
    strategy: StrategyName = StrategyName.LEAST_LOADED
    auction: AuctionSettings = AuctionSettings()
    weights: dict[Id, Weight] = {}
    least_match: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    certificates: dict[Id, Certificates] = {}
    open_after: Seconds = Seconds(0.0)
    cancel_after: Seconds = Seconds(0.0)
    review: ReviewSettings = ReviewSettings()
    flapping: FlappingSettings = FlappingSettings()
    group: GroupSettings = GroupSettings()
    silence: Annotated[tuple[SilenceWindow, ...], Meta(max_length=100)] = ()
    causes: Annotated[str, Meta(max_length=4096)] = ""
    verify_by_cause: bool = False
    triage: tuple[TriageRule, ...] = ()

    def __post_init__(self) -> None:
        for name in ("answer_within", "work_within", "reopen_after", "retry_after"):
            if getattr(self, name) <= 0.0:
                raise ValueError(f"`{name}` must be longer than nothing")
        if not 0.0 < self.auction.window <= 60.0:
            raise ValueError("`window` of `auction` must be longer than nothing, and 60s at most")
