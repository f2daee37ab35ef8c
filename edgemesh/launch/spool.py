"""What waits for InfluxDB, and what it has refused, as lines for people."""

from __future__ import annotations

from datetime import UTC, datetime

from edgemesh.configuration.loading import Configuration
from edgemesh.errors import ConfigError
from edgemesh.launch.plant import journal_file
from edgemesh.store.influx.inventory import take_inventory
from edgemesh.store.influx.spool import Lane

NAMES = {Lane.EVENTS: "alerts and orders", Lane.READINGS: "readings and health", Lane.ROLLUPS: "roll-ups"}


def spool_lines(configuration: Configuration, *, limit: int) -> list[str]:
    """A line for each lane in which something waits, one for what is lost, and the newest dead letters.

    ConfigError without a recorder, StoreError where its file is not there yet.
    """
    recorder = configuration.settings.recorder
    if recorder is None:
        raise ConfigError("is missing", file=str(configuration.file), path="recorder", wish="it keeps the spool")
    found = take_inventory(journal_file(configuration.data, recorder.agent), limit)
    if found is None:
        return ["nothing was ever to go to InfluxDB; [influxdb] in the configuration begins it"]
    lines = [
        f"{NAMES[each.lane]:<20}{each.lines:>12,} lines {each.size / 1e6:>9.3f} MB  the oldest for {each.age_s:,.0f} s"
        for each in found.waiting
    ] or ["nothing waits"]
    lines.append(f"{found.dropped:,} lines gave way ever, {found.dead:,} were refused for good")
    for letter in found.letters:
        when = datetime.fromtimestamp(letter.at_ns / 1e9, UTC)
        lines += [f"{when:%Y-%m-%d %H:%M:%S}Z  {letter.lines} lines: {letter.reason}", f"    {letter.first}"]
    return lines
