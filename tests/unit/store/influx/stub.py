"""A server that takes lines as InfluxDB does, and answers what it is told to."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.unit.store.influx.parser import Point, parse

Answer = tuple[int, str, dict[str, str]]
"""Status, body, headers."""
STORED: Answer = (204, "", {})


@dataclass
class Stub:
    """`answer` is asked for each request with its lines; what gets a 204 is `stored`. While `hung` is set, it waits."""

    port: int = 0
    answer: Callable[[list[str]], Answer] = lambda lines: STORED
    stored: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    hung: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def points(self) -> list[Point]:
        return [parse(line) for line in list(self.stored)]


@contextlib.contextmanager
def serving() -> Iterator[Stub]:
    """A stub on a free port of 127.0.0.1, in a thread of its own."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            stub.paths.append(self.path)
            stub.logins.append(self.headers.get("Authorization", ""))
            if stub.hung.is_set():
                stub.released.wait(20)
                self.close_connection = True
                return
            assert self.headers["Content-Encoding"] == "gzip"
            lines = gzip.decompress(body).decode().split("\n")
            status, text, headers = stub.answer(lines)
            if status == 204:
                stub.stored += lines
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            if status != 204:
                self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's own word
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
