"""Silent devices."""

from __future__ import annotations

from edgemesh.detect.base.columns import DeviceState, StreamState
from edgemesh.detect.rules.silence import NEVER, due_ns, find_returned, find_silent, note_heard, patience_ns
from edgemesh.detect.settings import SilentRule
from edgemesh.model.alerts import AlertKind
from edgemesh.model.settings import Seconds

S = 10**9
RULE = SilentRule(after=Seconds(10))


def test_patience_is_three_periods_and_at_least_ten_seconds() -> None:
    """The slower of the sampling and the arrival period counts; a fixed time overrules both."""
    assert patience_ns(SilentRule(), DeviceState(streams={"x": StreamState(period_ns=S)})) == 10 * S
    assert patience_ns(SilentRule(), DeviceState(streams={"x": StreamState(period_ns=60 * S)})) == 180 * S
    assert patience_ns(SilentRule(), DeviceState(arrival_ns=600 * S)) == 1800 * S
    assert patience_ns(RULE, DeviceState(arrival_ns=600 * S)) == 10 * S


def test_a_device_is_silent_once_and_back_after_three_new_samples() -> None:
    """It fires once, however long it lasts, and a single sample is not yet a return."""
    device = DeviceState(newest_ns=5 * S)
    note_heard(device, 1, 100 * S)
    assert due_ns([RULE], device) == 110 * S
    assert find_silent("d", [RULE], device, 110 * S, 1000 * S) == []
    (signal,) = find_silent("d", [RULE], device, 111 * S, 1001 * S)
    assert (signal.kind, signal.at_ns, signal.onset_at_ns) == (AlertKind.SILENT, 1001 * S, 5 * S)
    assert signal.cause == "d silent for 11 s, normal < 10 s"
    assert find_silent("d", [RULE], device, 500 * S, 1500 * S) == []
    assert due_ns([RULE], device) == NEVER
    note_heard(device, 2, 600 * S)
    assert find_returned("d", [RULE], device, 1600 * S) == []
    note_heard(device, 1, 601 * S)
    (back,) = find_returned("d", [RULE], device, 1601 * S)
    assert (back.firing, back.source) == (False, signal.source)
    assert due_ns([RULE], device) == 611 * S


def test_old_samples_do_not_bring_a_device_back() -> None:
    """News that are none (late, duplicate) count for nothing."""
    device = DeviceState(silent=[RULE.label], heard_clock_ns=0)
    note_heard(device, 0, S)
    assert find_returned("d", [RULE], device, S) == []
