"""Servers of our own on loopback: one that speaks HTTP as it is told to, one that takes mail; and what goes to them."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from edgemesh.log.journal import Journal
from edgemesh.model.alerts import Alert
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import OrderState, Priority, WorkOrder
from edgemesh.notices.intake import Moved, NoticeIntake, Wish
from edgemesh.testing import make_pack
from tests.unit.dispatch.plant import START


@dataclass(frozen=True)
class Request:
    """What came: `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What goes back; `hang`: nothing does until the server ends, `cut`: the connection is closed instead."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    cut: bool = False


Answering = Callable[[Request], Answer]


class HttpStub:
    """Answers with what `script` holds, one after the other, then with `answer`; keeps all requests."""

    def __init__(self, answer: Answering = lambda request: Answer()) -> None:
        self.requests: list[Request] = []
        self.script: list[Answer] = []
        self._answer = answer
        self._over = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                stub._handle(self)

            do_GET = do_POST = do_PATCH = do_PUT = handle_any  # noqa: N815  names of the base

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.command, handler.path, headers, body)
        self.requests.append(request)
        answer = self.script.pop(0) if self.script else self._answer(request)
        if answer.hang:
            self._over.wait()
        if answer.hang or answer.cut:
            handler.close_connection = True
            return
        with suppress(OSError):  # whoever asked has gone
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            handler.wfile.write(answer.body)

    def close(self) -> None:
        """Let all go and end."""
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class MailStub:
    """Takes mail: `mails` holds what came as text; `replies` are what it says to a command instead of 250."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.replies: dict[str, str] = {}
        stub = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.say("220 stub")
                while line := self.rfile.readline():
                    word = line.decode().split()[0].upper()
                    if word in stub.replies:
                        self.say(stub.replies[word])
                    elif word == "DATA":
                        self.say("354 go on")
                        stub.mails.append(self.text())
                        self.say("250 taken")
                    elif word == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 well")

            def say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

            def text(self) -> str:
                lines: list[bytes] = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                return b"".join(lines).decode()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, as long as nobody else takes it."""
    import socket

    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@dataclass
class Time:
    """A clock that stands still until it is told to go on; seconds."""

    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def work_order(number: int = 0, version: int = 1, state: OrderState = OrderState.OPEN, **more: object) -> WorkOrder:
    """A version of an order of its own number."""
    fields: dict[str, object] = {
        "id": derive_id("order", number),
        "version": version,
        "asset": f"P-{number}",
        "alert": derive_id("alert", number),
        "state": state,
        "title": "Look at the pump",
        "cause": "cavitation",
        "priority": Priority.P2,
        "skills": {"pumps": 0.5},
        "at_ns": START + version,
        "opened_at_ns": START,
    }
    return WorkOrder(**(fields | more))  # type: ignore[arg-type]


class Recorder:
    """The recorder's file, with an intake for some channels."""

    def __init__(self, folder: Path, *channels: Wish) -> None:
        self.file = folder / "agents" / "recorder.db"
        self.moved = Moved()
        self.journal = Journal.open(self.file, "recorder")
        self.intake = NoticeIntake("site", channels, self.moved)
        self._seq = 0
        with self.journal.begin() as transaction:
            self.intake.prepare(transaction.connection)

    def take(self, *records: WorkOrder | Alert) -> None:
        """Have it take these in, a pack each."""
        for record in records:
            self._seq += 1
            pack = make_pack([record], agent="a", seq=self._seq)
            with self.journal.begin() as transaction:
                self.intake.write(transaction.connection, [pack])

    def keep_house(self) -> None:
        with self.journal.begin() as transaction:
            self.intake.trim(transaction.connection, START)

    def waiting(self) -> list[tuple[str, bytes]]:
        """What waits for the channels: channel and body."""
        with self.journal.begin() as transaction:
            return list(transaction.connection.execute("SELECT channel, body FROM notice_spool ORDER BY id"))

    def close(self) -> None:
        self.journal.close()
