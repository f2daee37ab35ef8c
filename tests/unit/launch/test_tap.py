"""Alerts from the data folder: what a gateway has found while nobody could be told."""

from __future__ import annotations

from pathlib import Path

import msgspec
from click.testing import CliRunner

from edgemesh.agents.sentry import SentryCore
from edgemesh.bus.contract import Message
from edgemesh.cli import main
from edgemesh.detect.settings import DetectSettings, LimitRule
from edgemesh.launch.tap import alert_lines, describe
from edgemesh.log.journal import Journal
from edgemesh.model.alerts import Alert, AlertState, Review, Stage
from edgemesh.testing import make_alert, make_batch, make_pack, make_readings
from edgemesh.wire import codec

SETTINGS = DetectSettings(rule=(LimitRule(name="low", metric="flow", below=50.0),))


def commit(data: Path, agent: str, *alerts: Alert, core: SentryCore | None = None, kind: str = "alerts") -> None:
    (data / "agents").mkdir(parents=True, exist_ok=True)
    journal = Journal.open(data / "agents" / f"{agent}.db", agent)
    with journal.begin() as transaction:
        for alert in alerts:
            transaction.append(kind, codec.encode_records([alert]), at_ns=0)
        if core is not None:
            transaction.put_parts(core.save())
    journal.close()


def test_alerts_are_read_from_the_disk(tmp_path: Path) -> None:
    """The newest first, each once in its last version; logs of readings hold none, and neither does an empty folder."""
    assert alert_lines(tmp_path, limit=5) == []
    first, second = make_alert(asset="a", at_s=5.0), make_alert(asset="b", at_s=9.0)
    later = msgspec.structs.replace(first, version=2, at_ns=first.at_ns + 10**9)
    commit(tmp_path, "det", first, second, later)
    journal = Journal.open(tmp_path / "agents" / "gw.db", "gw")
    with journal.begin() as transaction:
        transaction.append("readings", codec.encode_records([make_batch([1.0])]), at_ns=0)
    journal.close()
    lines = alert_lines(tmp_path, limit=5)
    assert [line.split("  ")[1] for line in lines] == ["det", "det"]
    assert (" b machine firing" in lines[0], " v2 a machine firing" in lines[1]) == (True, True)
    assert alert_lines(tmp_path, limit=1) == lines[:1]


def test_what_stands_at_a_sentry_is_shown_with_the_sites_word(tmp_path: Path) -> None:
    """Also when its rows were pruned long ago."""
    core = SentryCore("sentry", "plant", SETTINGS, {})
    (alert,) = core.handle(make_readings([90.0, 40.0]))
    assert isinstance(alert, Alert)
    core.meet(msgspec.structs.replace(alert, state=AlertState.CLEARED, review=Review.CONFIRMED))
    commit(tmp_path, "sentry", core=core)
    (line,) = alert_lines(tmp_path, limit=5)
    assert "firing/warning confirmed by the gateway alone" in line


def test_the_command_needs_no_broker(tmp_path: Path) -> None:
    """It says what there is, or that there is nothing."""
    file = tmp_path / "site.toml"
    file.write_text(f'[site]\nid = "s"\ndata = "{tmp_path / "data"}"\nbroker = "mqtt://127.0.0.1:1"\n')
    run = CliRunner().invoke(main, ["tap", str(file), "--alerts"])
    assert (run.exit_code, run.output) == (0, "no alert\n")
    commit(tmp_path / "data", "det", make_alert())
    run = CliRunner().invoke(main, ["tap", str(file), "--alerts"])
    assert "pump-1 machine firing" in run.output


def test_a_line_tells_the_stage() -> None:
    """On the bus, too."""
    alert = msgspec.structs.replace(make_alert(state=AlertState.CLEARED), stage=Stage.GATEWAY, review=Review.WITHDRAWN)
    pack = make_pack([alert], agent="det")
    body = codec.encode_records([alert])
    payload = codec.encode_pack(
        "alerts", agent="det", epoch=pack.epoch, seq=1, lowest=1, at_ns=pack.at_ns, trace="", body=body
    )
    line = describe(Message("edgemesh/v1/s/log/alerts/det", payload))
    assert "cleared/critical withdrawn by the gateway alone: flow of" in line
