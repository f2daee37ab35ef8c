"""A gateway with a sentry as a process that is killed again and again while it can reach nobody."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from edgemesh.agents.sentry import SentryCore
from edgemesh.configuration.loading import load
from edgemesh.drivers.count.ledger import read_ledger
from edgemesh.errors import LogError
from edgemesh.log.journal import Journal
from edgemesh.log.outbox import Row
from edgemesh.model.alerts import Alert, Stage
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from edgemesh.wire import codec
from tests.e2e.command import call, running, wait_for

EDGE = """
[site]
id = "edge"
data = "data"
broker = "mqtt://127.0.0.1:{port}"
roles = ["detector", "scheduler", "recorder"]

[[gateway]]
id = "gw"

[[gateway.driver]]
type = "count"
devices = 2
rate = 600.0
samples = 2400
period = 60
excursion = 10
ledger = "ledger"

[detector]
agents = ["gw-sentry"]
stage = "gateway"

[[detection.rule]]
kind = "limit"
metric = "level"
above = 0.5
"""


def rows(folder: Path, agent: str) -> list[Row]:
    """What an agent has committed so far."""
    file = folder / "data" / "agents" / f"{agent}.db"
    if not file.exists():
        return []
    with closing(Journal.peek(file)) as journal:
        return journal.rows(0, limit=100_000, max_bytes=2**30)


def alerts(folder: Path) -> list[Alert]:
    found = [each for row in rows(folder, "gw-sentry") for each in codec.decode_body("alerts", row.body)]
    return [alert for alert in found if isinstance(alert, Alert)]


def has(folder: Path, count: int) -> bool:
    """Whether the sentry has said so many versions; not while its log is being made."""
    try:
        return len(alerts(folder)) >= count
    except LogError:
        return False


def is_counted(ledger: Path) -> bool:
    """Whether the source has put in the samples with which it ends."""
    return any(span.first >= 2_400 for span in read_ledger(ledger))


def taken(folder: Path) -> int:
    """How far the sentry is in the gateway's log."""
    with closing(Journal.peek(folder / "data" / "agents" / "gw-sentry.db")) as journal:
        cursor = journal.cursors().get("gw")
    return cursor.through if cursor else 0


def replayed(folder: Path, file: Path) -> list[Alert]:
    """What a sentry that is never killed makes of the rows that this one has taken in."""
    core = SentryCore("gw-sentry", "edge", load(file).settings.detection, {})
    with closing(Journal.peek(folder / "data" / "agents" / "gw.db")) as journal:
        epoch = journal.epoch
    said: list[Alert] = []
    for row in rows(folder, "gw")[: taken(folder)]:
        batches = tuple(each for each in codec.decode_body("readings", row.body) if isinstance(each, Batch))
        pack = Readings(agent="gw", epoch=epoch, seq=row.seq, lowest=1, at_ns=row.at_ns, records=batches)
        said += [alert for alert in core.handle(pack) if isinstance(alert, Alert)]
    return said


def test_killed_again_and_again_it_says_each_alert_once(tmp_path: Path, free_port: int) -> None:
    """Three times SIGKILL in the middle of faults: the log of the sentry is the one of a sentry that was never killed,
    and the alerts can be read without any broker.
    """
    file = tmp_path / "edge.toml"
    file.write_text(EDGE.format(port=free_port))
    for _ in range(3):
        more = len(alerts(tmp_path)) + 3
        with running("run", "edge.toml", cwd=tmp_path) as command:
            wait_for(partial(has, tmp_path, more), command)
        assert not command.alive
    with running("run", "edge.toml", cwd=tmp_path) as command:
        wait_for(lambda: is_counted(tmp_path / "ledger"), command, 30.0)
        seen = [0]

        def is_through() -> bool:
            """Nothing more is committed, and the sentry has all of it."""
            head = rows(tmp_path, "gw")[-1].seq
            settled, seen[0] = head == seen[0], head
            return settled and taken(tmp_path) == head

        wait_for(is_through, command, 30.0)
    said, wanted = alerts(tmp_path), replayed(tmp_path, file)
    assert len({alert.id for alert in said}) > 10
    assert {alert.stage for alert in said} == {Stage.GATEWAY}
    assert [msgspec.to_builtins(alert) for alert in said] == [msgspec.to_builtins(alert) for alert in wanted]
    shown = call("tap", "edge.toml", "--alerts", "--count", "5", cwd=tmp_path)
    assert (shown.returncode, shown.stdout.count("by the gateway alone")) == (0, 5), shown.stderr
