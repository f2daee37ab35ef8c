"""An InfluxDB 1.x on this machine: asked, or started in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edgemesh.bus.ports import take_ports

Json = dict[str, Any]
CONFIGURATION = """
reporting-disabled = true
bind-address = "127.0.0.1:{other}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
auth-enabled = {auth}
"""


class Refused(Exception):
    """The server does not take a statement."""


class Influx(NamedTuple):
    """A server by its address."""

    url: str

    def ask(self, statement: str, database: str) -> list[Json]:
        """The series of an answer, times in ms as Grafana asks for them; Refused with the reason."""
        body = urllib.parse.urlencode({"q": statement, "db": database, "epoch": "ms"}).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/query", body, timeout=30) as answer:
                (found,) = json.loads(answer.read())["results"]
        except urllib.error.HTTPError as error:
            raise Refused(f"{error.read().decode(errors='replace').strip()}: {statement}") from error
        if "error" in found:
            raise Refused(f"{found['error']}: {statement}")
        series: list[Json] = found.get("series", [])
        return series

    def write(self, lines: str, database: str) -> None:
        """Write ready-made lines."""
        urllib.request.urlopen(f"{self.url}/write?db={database}", lines.encode(), timeout=30).close()


@contextlib.contextmanager
def influxd(program: str, folder: Path, *databases: str) -> Iterator[Influx]:
    """Run a server with empty databases while the block runs."""
    port, other = take_ports(2)
    file, log = folder / "influxd.toml", folder / "influxd.log"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, other=other, auth="false"), encoding="utf-8")
    with log.open("ab") as out:
        process = subprocess.Popen(
            [program, "run", "-config", str(file)], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        server = Influx(f"http://127.0.0.1:{port}")
        _wait(server, process, log)
        for database in databases:
            server.ask(f'CREATE DATABASE "{database}"', "")
        yield server
    finally:
        process.kill()
        process.wait(10)


def _wait(server: Influx, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{server.url}/ping", timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"influxd did not start: {log.read_text(errors='replace')[-1_000:]}") from None
            time.sleep(0.02)
