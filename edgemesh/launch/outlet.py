"""The way out to InfluxDB: what the recorder mirrors, and the thread that sends it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from edgemesh.configuration.settings import PlantSettings
from edgemesh.store.influx.mirror import InfluxMirror
from edgemesh.store.influx.progress import Progress
from edgemesh.store.influx.reader import SpoolReader
from edgemesh.store.influx.sender import Post, Sender
from edgemesh.store.influx.settings import InfluxSettings
from edgemesh.store.influx.spool import Lane, Spool


@dataclass(frozen=True, slots=True)
class InfluxOutlet:
    """`mirror` is for the history's sink and the agent's card; `start` begins to send, `stop` ends within 2 s."""

    mirror: InfluxMirror
    sender: Sender

    def start(self) -> None:
        """Begin to send."""
        self.sender.start()

    def stop(self) -> None:
        """End; what was not sent stays in the spool."""
        self.sender.stop()


def make_outlet(settings: PlantSettings, journal: Path) -> InfluxOutlet | None:
    """The outlet; None where the configuration has no `[influxdb]`; `journal` is the recorder's file.

    ModuleNotFoundError now, rather than later in a thread, when the client is not installed.
    """
    influx = settings.influxdb
    if influx is None:
        return None
    if importlib.util.find_spec("influxdb_client") is None:
        raise ModuleNotFoundError("No module named 'influxdb_client'", name="influxdb_client")
    return build_outlet(settings.site.id, influx, journal, ids_as_tags=settings.traces.trace_ids_as_tags)


def build_outlet(site: str, influx: InfluxSettings, journal: Path, *, ids_as_tags: bool = False) -> InfluxOutlet:
    """Mirror and sender for the site's recorder."""
    progress = Progress()
    mirror = InfluxMirror(
        site,
        Spool(progress, max_bytes=influx.spool, max_age_s=influx.spool_hold),
        progress,
        rollups=bool(influx.rollup_bucket),
        health_s=influx.health,
        max_series=influx.max_series,
        ids_as_tags=ids_as_tags,
    )
    buckets = dict.fromkeys(Lane, influx.bucket) | {Lane.ROLLUPS: influx.rollup_bucket}
    sender = Sender(
        SpoolReader(journal), progress, lambda: make_post(influx), buckets, max_lines=influx.lines, every_s=influx.every
    )
    return InfluxOutlet(mirror, sender)


def make_post(influx: InfluxSettings) -> Post:
    """The client that writes to a server."""
    from edgemesh.store.influx.client import InfluxClient  # heavy: 50 MB, and only the sender's thread needs it

    return InfluxClient(influx)
