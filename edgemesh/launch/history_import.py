"""`edgemesh history import`: lines of a file or a history go to InfluxDB, and go on where they were interrupted."""

from __future__ import annotations

import importlib.util
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import msgspec

from edgemesh.errors import ConfigError, InputError
from edgemesh.launch.history import Export, Source, opened
from edgemesh.launch.outlet import make_post
from edgemesh.model.settings import Seconds, Secret
from edgemesh.store.influx.settings import InfluxSettings
from edgemesh.store.influx.spool import Lane
from edgemesh.store.influx.transcript import Transcript
from edgemesh.store.influx.transfer import Chunk, Mark, Outcome, archive_chunks, file_chunks, table_chunks, transfer
from edgemesh.store.table_files import SUFFIXES, count_lines, read_lines

SAVE_EVERY_S = 1.0
Tell = Callable[[int, str, int | None], None]
"""Lines stored, why it waits (empty: it does not), and how far it is: an instant in ns, or as `file_length` counts."""


def read_target(
    url: str, *, version: int, org: str, environment: Mapping[str, str], rollup_bucket: str = ""
) -> InfluxSettings:
    """`http://HOST:8086/BUCKET` as settings; the secrets come from INFLUX_TOKEN, or INFLUX_USER and INFLUX_PASSWORD.

    InputError for what is no such address.
    """
    parts = urllib.parse.urlsplit(url)
    bucket = urllib.parse.unquote(parts.path.strip("/"))
    if not bucket:
        raise InputError(
            "names no bucket", source=url, wish="http://HOST:8086/BUCKET, or DATABASE/POLICY for version 1"
        )
    secrets = {name: environment.get(f"INFLUX_{name.upper()}", "") for name in ("token", "user", "password")}
    settings = InfluxSettings(
        url=urllib.parse.urlunsplit((parts.scheme, parts.netloc, "", parts.query, parts.fragment)),
        version=cast("Literal[1, 2, 3]", version),
        org=org,
        token=Secret("" if version == 1 else secrets["token"]),
        user=secrets["user"] if version == 1 else "",
        password=Secret(secrets["password"] if version == 1 else ""),
        bucket=bucket,
        rollup_bucket=rollup_bucket,
        timeout=Seconds(30.0),
    )
    problem = settings.problem()
    if problem:
        key, what, wish = problem
        if key == "org":
            wish = "--org NAME, or --influx 1, 3"
        raise InputError(f"{key} {what}", source="--to", wish=wish)
    return settings


def check_client() -> None:
    """ModuleNotFoundError when influxdb-client is not installed."""
    if importlib.util.find_spec("influxdb_client") is None:
        raise ModuleNotFoundError("No module named 'influxdb_client'", name="influxdb_client")


class _State(msgspec.Struct):
    """How far an interrupted import was. `source` tells whether the file is the same still."""

    source: str
    mark: Mark


@dataclass(slots=True)
class Bookmark:
    """A small file beside the source that says where to go on; a folder that can't be written costs only that."""

    file: Path
    source: str
    said_s: float = -SAVE_EVERY_S
    last: Mark | None = None

    def read(self) -> Mark | None:
        """Where the import of the same source was interrupted; None: nowhere."""
        with suppress(OSError, msgspec.MsgspecError):
            state = msgspec.json.decode(self.file.read_bytes(), type=_State)
            return state.mark if state.source == self.source else None
        return None

    def keep(self, mark: Mark | None) -> None:
        """Note the place, once a second at most."""
        now_s = time.monotonic()
        if mark is None or mark == self.last or now_s - self.said_s < SAVE_EVERY_S:
            return
        self.said_s, self.last = now_s, mark
        part = self.file.with_name(self.file.name + ".part")
        with suppress(OSError):
            part.write_bytes(msgspec.json.encode(_State(self.source, mark)))
            part.replace(self.file)

    def remove(self) -> None:
        """All is done."""
        with suppress(OSError):
            self.file.unlink(missing_ok=True)


def bookmark(source: Path, influx: InfluxSettings, asked: str, *, live: bool) -> Bookmark:
    """The bookmark of an import of `source` there: of a file that is the same, or of a history when `asked` is.

    `asked` is what else decides what is sent.
    """
    target = f"{influx.url} {influx.bucket} {influx.rollup_bucket}"
    name = f"{source.name}.import-{zlib.crc32(target.encode()):08x}"
    about = source.stat()
    same = f"{about.st_ino}" if live else f"{about.st_size} {about.st_mtime_ns}"
    return Bookmark(source.with_name(name), f"{same} {zlib.crc32(asked.encode()):08x}")


def file_length(file: Path) -> int:
    """What `tell` will count up to for a file: bytes of line protocol, or readings."""
    return count_lines(file) if file.suffix in SUFFIXES else file.stat().st_size


def import_file(file: Path, site: str | None, influx: InfluxSettings, tell: Tell) -> Outcome:
    """Send a file: line protocol, or raw readings of a site as CSV or Parquet. InputError for another one."""
    check_client()
    mark = bookmark(file, influx, site or "", live=False)
    if file.suffix not in SUFFIXES:
        return _import(file_chunks(file, mark.read()), influx, mark, tell)
    if not site:
        raise InputError("of which site is this?", source=str(file), wish="--site ID")
    transcript = Transcript(site, max_series=influx.max_series)
    return _import(table_chunks(read_lines(file), transcript, mark.read()), influx, mark, tell)


def import_history(source: Source, wanted: Export, influx: InfluxSettings, tell: Tell) -> Outcome:
    """Send what a recorder's file holds, as its mirror would have; also while the recorder runs."""
    check_client()
    with opened(source) as archive:
        asked = f"{wanted.site} {wanted.kinds} {sorted(wanted.series)} {wanted.selection}"
        mark = bookmark(source.file, influx, asked, live=True)
        transcript = Transcript(wanted.site, max_series=wanted.max_series)
        chunks = archive_chunks(archive, transcript, wanted.kinds, wanted.series, wanted.selection, begin=mark.read())
        return _import(chunks, influx, mark, tell)


def _import(chunks: Iterator[Chunk], influx: InfluxSettings, mark: Bookmark, tell: Tell) -> Outcome:
    def told(stored: int, waiting: str, place: Mark | None) -> None:
        mark.keep(place)
        tell(stored, waiting, place[1] if place else None)

    rollups = influx.rollup_bucket or influx.bucket
    buckets = {Lane.EVENTS: influx.bucket, Lane.READINGS: influx.bucket, Lane.ROLLUPS: rollups}
    outcome = transfer(chunks, lambda: make_post(influx), buckets, max_lines=influx.lines, tell=told)
    mark.remove()
    return outcome


def need_influx(influx: InfluxSettings | None, place: Path) -> InfluxSettings:
    """ConfigError where a configuration has no `[influxdb]`."""
    if influx is None:
        raise ConfigError("is missing", file=str(place), path="influxdb", wish="or --to http://HOST:8086/BUCKET")
    return influx
