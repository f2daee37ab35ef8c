"""The threshold job as a bare asyncio protocol: `python asyncio_protocol.py` prints the port it listens on.

Frames are a length (4 bytes, big-endian) and JSON. A device sends `{"device": ..., "value": ...}`; the order goes back
on the same connection. No broker, no log, no acknowledgement: the least that the job can cost in Python.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

LIMIT, CLEAR = 100.0, 90.0
LENGTH = struct.Struct(">I")


class Threshold(asyncio.Protocol):
    def __init__(self) -> None:
        self.firing: set[str] = set()
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        at = 0
        while len(self.buffer) - at >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self.buffer, at)
            if len(self.buffer) - at - LENGTH.size < size:
                break
            at += LENGTH.size
            self.judge(json.loads(self.buffer[at : at + size]))
            at += size
        del self.buffer[:at]

    def judge(self, reading: dict[str, Any]) -> None:
        device, value = reading["device"], reading["value"]
        if value > LIMIT and device not in self.firing:
            self.firing.add(device)
            order = {"asset": device, "title": "Look after it", "cause": f"value {value} > {LIMIT}"}
            body = json.dumps({"orders": [order]}).encode()
            self.transport.write(LENGTH.pack(len(body)) + body)
        elif value < CLEAR:
            self.firing.discard(device)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Threshold, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
