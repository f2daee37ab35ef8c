"""Verdicts: what a watch makes of what people have found on its asset. Each has its own effect once."""

from __future__ import annotations

from edgemesh.detect.feedback import replaced_ns, unheard
from edgemesh.detect.signals import MODEL_SOURCE
from edgemesh.detect.watch import Moment, Watch
from edgemesh.model.alerts import Alert, AlertKind
from edgemesh.model.orders import Verdict
from edgemesh.model.verdicts import OrderVerdict, Verdicts


def hear(watch: Watch, verdicts: Verdicts, moment: Moment) -> list[Alert]:
    """Take in all that is known; return the alerts that are over by it.

    The threshold follows from the list as a whole, see `feedback.ease`. Besides: a false alarm that stands makes the
    present level normal, and its rows are learnt from; what is a fault gets no benefit of the doubt; a replaced part
    begins a new warm-up, unless the model was learnt from younger rows already.
    """
    news = unheard(watch.state.feedback, verdicts.verdicts)
    if watch.learner is None:
        return []
    for found in news:
        if found.verdict is not Verdict.REPLACED_PART and found.learnt:
            _tell(watch, found)
    at_ns = replaced_ns(verdicts.verdicts)
    if at_ns < 0 or all(found.verdict is not Verdict.REPLACED_PART for found in news):
        return []
    about = watch.learner.state.about
    if about.begin_ns >= at_ns:
        watch.state.rollout.renewed_ns = at_ns
        return []
    return watch.renew(at_ns, moment)


def _tell(watch: Watch, found: OrderVerdict) -> None:
    """Have the model, and what is kept for the next one, hear of a verdict."""
    entry = watch.state.book.entries.get(AlertKind.MACHINE)
    stands = entry is not None and entry.alert.id == found.alert and MODEL_SOURCE in entry.sources
    if stands and watch.learner is not None:
        watch.learner.hear(found.verdict)
    if watch.retraining is not None:
        watch.retraining.hear(found)
