"""Alarm load: days of a site of 30 gateways beside the targets of ISA-18.2; `make alarm-load`, in short."""

from __future__ import annotations

import pytest

from benchmarks.alarm_load import FACTORY, Stream, figures, play
from benchmarks.causes import record, warm
from benchmarks.rules import faults_of
from edgemesh.configuration.loading import load
from edgemesh.dispatch.settings import DispatchSettings, FlappingSettings, GroupSettings, ReviewSettings
from edgemesh.model.settings import Seconds


@pytest.fixture(scope="module")
def streams() -> dict[str, Stream]:
    """What the watch tells of each fault of a gateway's host."""
    calm = warm("pi")
    return {fault: record(fault, calm) for fault in faults_of("pi")}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_people_hear_each_cause_once(streams: dict[str, Stream], seed: int) -> None:
    """Faults, dead gateways, a dark hall and loose wires: each opens one order, whatever number of alerts it raises."""
    assert all(streams.values())
    found = figures(play(2.0, streams, load(FACTORY).settings.dispatch, seed))
    assert found["alerts raised"] > 150
    assert found["per 10 min, mean"] <= 1.0
    assert found["worst 10 min"] <= 10
    assert 1 <= found["within 10 min of the power cut"] <= 10
    assert found["chattering"] == 0
    assert found["causes with one order"] == found["causes"] == len(streams) + 7


def test_without_grouping_and_patience_the_same_days_are_a_flood(streams: dict[str, Stream]) -> None:
    """The measure can fail: with everything turned off each dark gateway is an order, and loose wires chatter."""
    bare = DispatchSettings(
        review=ReviewSettings(below=0.0),
        flapping=FlappingSettings(count=100),
        group=GroupSettings(within=Seconds(0.0), assets=10_000, gateways=10_000),
    )
    found = figures(play(2.0, streams, bare))
    assert found["within 10 min of the power cut"] >= 10
    assert found["chattering"] > 0
    assert found["causes with more"] > 0
