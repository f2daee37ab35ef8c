"""Verdicts: what a watch makes of what people have found on its asset. Each has its own effect once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemesh.detect.base.moment import Moment
from edgemesh.detect.base.signals import MODEL_SOURCE
from edgemesh.detect.feedback.thresholds import replaced_ns, unheard
from edgemesh.detect.learning.model_signals import mute
from edgemesh.detect.watch import Watch
from edgemesh.model.alerts import Alert, AlertKind
from edgemesh.model.orders import Verdict
from edgemesh.model.verdicts import OrderVerdict, Verdicts

if TYPE_CHECKING:
    from edgemesh.detect.learning.learner import Learner


def hear(watch: Watch, verdicts: Verdicts, moment: Moment) -> list[Alert]:
    """Take in all that is known; return the alerts that are over by it.

    The threshold follows from the list as a whole, see `thresholds.ease`. Besides: a false alarm that stands is over,
    and its rows are learnt from; what is a fault gets no benefit of the doubt; a replaced part begins a new warm-up,
    unless the model was learnt from younger rows already.
    """
    news = unheard(watch.models.feedback, verdicts.verdicts)
    if watch.models.learner is None:
        return []
    alerts = []
    for found in news:
        if found.verdict is not Verdict.REPLACED_PART and found.learnt:
            alerts += _tell(watch, watch.models.learner, found, moment)
    at_ns = replaced_ns(verdicts.verdicts)
    if at_ns < 0 or all(found.verdict is not Verdict.REPLACED_PART for found in news):
        return alerts
    if watch.models.learner.state.about.begin_ns >= at_ns:
        watch.state.rollout.renewed_ns = at_ns
        return alerts
    return alerts + watch.renew(at_ns, moment)


def _tell(watch: Watch, learner: Learner, found: OrderVerdict, moment: Moment) -> list[Alert]:
    """Have the model, and what is kept for the next one, hear of a verdict; return what is over by it.

    An alert that was raised before the verdict belongs to the same order, whichever alert has opened that.
    """
    entry = watch.state.book.entries.get(AlertKind.MACHINE)
    alert = entry.alert if entry is not None and MODEL_SOURCE in entry.sources else None
    stands = alert is not None and (alert.id == found.alert or alert.raised_at_ns <= found.at_ns)
    if watch.models.retraining is not None:
        watch.models.retraining.hear(found, alert.id if stands and alert is not None else found.alert)
    if not stands:
        return []
    if found.verdict is Verdict.REAL_FAULT:
        learner.acknowledge()
        return []
    mute(learner.state)
    return watch.end_model_alert(moment)
