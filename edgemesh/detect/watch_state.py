"""What a watch remembers."""

from __future__ import annotations

import msgspec

from edgemesh.detect.alerts.book import Book
from edgemesh.detect.base.columns import DeviceState
from edgemesh.detect.base.decision import Switch
from edgemesh.detect.base.peak import Peak
from edgemesh.detect.base.windows import Window
from edgemesh.detect.feedback.calm import RetrainState
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.rollout.stages import RolloutState
from edgemesh.detect.rules.derived import DerivedState
from edgemesh.detect.rules.gates import Gate
from edgemesh.detect.rules.stuck import StuckState
from edgemesh.detect.rules.trace import Trace
from edgemesh.model.alerts import Alert


class WatchState(msgspec.Struct, omit_defaults=True):
    """All that a watch remembers, but for warm-up, model and what moves in it; names are as in `signals`.

    `unsaid` are the ids of open alerts that late samples have raised: nobody was told of them yet, see `late`.
    `first_ns` is when the first sample of all was taken; what was there in it may have begun earlier.
    """

    gateway: str
    devices: dict[str, DeviceState] = {}
    switches: dict[str, Switch] = {}
    traces: dict[str, Trace] = {}
    stuck: dict[str, StuckState] = {}
    derived: DerivedState = msgspec.field(default_factory=DerivedState)
    gates: dict[str, Gate] = {}
    window: Window = msgspec.field(default_factory=Window)
    book: Book = msgspec.field(default_factory=Book)
    learner: LearnerState = msgspec.field(default_factory=LearnerState)
    rollout: RolloutState = msgspec.field(default_factory=RolloutState)
    retrain: RetrainState = msgspec.field(default_factory=RetrainState)
    unsaid: list[str] = []
    first_ns: int = 0
    peak: Peak = msgspec.field(default_factory=Peak)

    @property
    def said(self) -> list[Alert]:
        """The alerts that stand and that others know of."""
        return [alert for alert in self.book.alerts if alert.id not in self.unsaid]

    @property
    def newest_ns(self) -> int:
        """The time of the newest sample of the asset; 0: none yet."""
        return max((device.newest_ns for device in self.devices.values()), default=0)
