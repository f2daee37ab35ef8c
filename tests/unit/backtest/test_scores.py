"""The scores of a model, told while it judges."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from edgemesh.backtest.run import BacktestOptions, backtest
from tests.unit.backtest.small_data import BEGIN_NS, SECOND_NS, write_config, write_csv

MODEL = """
[[detection.model]]
method = "machine"
machine = { train_rows = 100, trees = 5 }
"""


def test_scores_are_told_and_change_nothing(tmp_path: Path) -> None:
    """After the warm-up each row has its score, high where it is strange; who listens does not change what is said."""
    pytest.importorskip("sklearn")
    chance = random.Random(3)
    values = [88.0 + chance.gauss(0, 0.2) + (4.0 if 250 <= second < 280 else 0.0) for second in range(400)]
    config = write_config(tmp_path / "site.toml")
    config.write_text(config.read_text() + MODEL)
    options = BacktestOptions(config=config, data=write_csv(tmp_path / "pump-1.csv", values))
    deaf, nothing = backtest(options)
    heard, (traces,) = backtest(msgspec.structs.replace(options, traced=True))
    assert not nothing[0].scores
    assert not nothing[0].values
    assert [alert.id for alert in heard.report.alerts] == [alert.id for alert in deaf.report.alerts] != []
    buckets = traces.scores["pump-1"].buckets()
    begin_ns = BEGIN_NS + 250 * SECOND_NS
    assert buckets[0].at_ns == BEGIN_NS + 100 * SECOND_NS
    assert len(buckets) == 300
    assert max(bucket.high for bucket in buckets if bucket.at_ns >= begin_ns) > 1.0
    assert heard.report.alerts[0].model.startswith("profile-1@")
    raised_ns, width_ns = heard.report.alerts[0].raised_at_ns, traces.scores["pump-1"].width_ns
    (there,) = [bucket for bucket in buckets if bucket.at_ns <= raised_ns < bucket.at_ns + width_ns]
    assert there.high > 1.0
