"""Judging: alerts against faults that were injected, flags against labels; reports for people and machines."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from edgemesh.errors import ConfigError, InputError
from edgemesh.launch.demo import MARKER, DemoOptions, prepare
from edgemesh.launch.labels import find_windows, label_rows
from edgemesh.launch.report import Quantiles, quantiles
from edgemesh.launch.truth import AFTER_NS, Confusion, Span, Truth, flags

S = 1_000_000_000


def _event(event: str, at_s: float, *, fault: str = "leak", asset: str = "pump-1") -> bytes:
    return json.dumps(
        {"event": event, "id": f"{fault}-{asset}", "fault": fault, "asset": asset, "at_ns": int(at_s * S)}
    ).encode()


def test_faults_are_detected_and_alerts_are_false() -> None:
    """A fault counts as seen when an alert of its asset begins in it; an alert that no fault explains is false."""
    truth = Truth()
    for payload in (
        _event("injected", 10), _event("injected", 10), _event("repaired", 19), _event("recovered", 20),
        _event("injected", 30, asset="pump-2"), _event("injected", 90, asset="pump-3"), b"nonsense", b"{}",
        _event("recovered", 5, asset="nobody"),
    ):  # fmt: skip
        truth.take(payload)
    alerts = [Span("pump-1", 12 * S, 21 * S), Span("pump-1", 50 * S), Span("pump-9", 12 * S)]
    judgement = truth.judge(alerts, before_ns=80 * S)
    assert (judgement.injected, judgement.detected, judgement.alerts, judgement.false) == (
        2,
        1,
        3,
        tuple(alerts[1:]),
    )
    late = [Span("pump-1", 20 * S + AFTER_NS), Span("pump-1", 9 * S)]
    assert truth.judge(late, before_ns=80 * S).false == (late[1],)


def test_rates_over_rows() -> None:
    """F1, false-alarm and missed-alarm rate as SKAB counts them; with nothing to count they are 0."""
    confusion = Confusion()
    for label, flag in [(True, True)] * 6 + [(True, False)] * 2 + [(False, True)] * 1 + [(False, False)] * 9:
        confusion.add(label, flag)
    assert (confusion.tp, confusion.fn, confusion.fp, confusion.tn) == (6, 2, 1, 9)
    assert confusion.f1 == pytest.approx(12 / 15)
    assert (confusion.far, confusion.mar) == (10.0, 25.0)
    total = Confusion()
    total += confusion
    assert total == confusion
    assert (Confusion().f1, Confusion().far, Confusion().mar) == (0.0, 0.0, 0.0)


def test_a_flag_stands_from_raise_to_clear() -> None:
    """A row is flagged from the instant at which the alert was raised, causally, until it was cleared."""
    assert flags([1, 2, 3, 4, 5], [Span("a", 2, 4)]) == [False, True, True, False, False]
    assert flags([1, 2, 3], [Span("a", 3)]) == [False, False, True]
    assert flags([1], []) == [False]


def test_quantiles_are_nearest_ranks() -> None:
    """Median and 99 % quantile of what was measured; nothing measured gives nothing."""
    assert quantiles([]) == Quantiles()
    assert quantiles([3.0]) == Quantiles(3.0, 3.0)
    assert quantiles([float(value) for value in range(101)]) == Quantiles(50.0, 99.0)


def test_windows_beside_a_recording(tmp_path: Path) -> None:
    """Labels as NAB keeps them: found by the recording's relative path, both ends included, broken files said."""
    (tmp_path / "real").mkdir()
    recording = tmp_path / "real" / "a.csv"
    recording.write_text("timestamp,value\n")
    assert find_windows(recording) is None
    file = tmp_path / "windows.json"
    file.write_text('{"real/a.csv": [["2014-04-10 07:15:00", "2014-04-11T16:45:00Z"]]}')
    windows = find_windows(recording)
    assert windows == [(1_397_114_100 * S, 1_397_234_700 * S)]
    assert label_rows([windows[0][0] - 1, *windows[0], windows[0][1] + 1], windows) == [False, True, True, False]
    file.write_text("{")
    with pytest.raises(InputError, match=r"windows\.json"):
        find_windows(recording)


def test_a_folder_that_is_no_demos_is_not_emptied(tmp_path: Path) -> None:
    """The demo empties its own folder only."""
    import asyncio
    import io

    (tmp_path / "thesis.txt").write_text("mine")
    config = Path(__file__).parents[3] / "configs" / "demo.toml"
    with pytest.raises(ConfigError, match="something else than a demo"):
        asyncio.run(prepare(DemoOptions(config=config, data=tmp_path), stream=io.StringIO()))
    assert (tmp_path / "thesis.txt").exists()
    assert not (tmp_path / MARKER).exists()


def test_a_report_is_plain_json() -> None:
    """Quantiles are numbers or null."""
    assert msgspec.json.encode(Quantiles()) == b'{"p50":null,"p99":null}'
