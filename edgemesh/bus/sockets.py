"""TCP and TLS sockets for the event loop: opened without blocking it, read and written in large pieces."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import ssl
import struct
import termios

from edgemesh.bus.address import Address

_READ_BYTES = 65_536
_INFO_BYTES = 128
_RTT_AT, _ARRIVED_AT = 68, 120  # in Linux's struct tcp_info: two u32 of µs (mean and deviation), and a u64
_PATIENCE_S = (2.0, 10.0)


class BufferedSocket:
    """A non-blocking socket with a buffer on each side, so that many small packets cost one system call.

    Has the methods that the MQTT library wants of a socket. `send` only fills the buffer; `flush` sends it. `problem`
    is what broke the link, as far as reading has shown it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unread = b""
        self._at = 0
        self._unsent = bytearray()
        self.closed = False
        self.problem = ""

    @property
    def unread(self) -> bool:
        """True while bytes wait on our side of the kernel, which the event loop can't see."""
        return self._at < len(self._unread) or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0)

    @property
    def unsent(self) -> int:
        """Bytes that the operating system has not yet taken from us."""
        return len(self._unsent)

    def recv(self, size: int) -> bytes:
        """Return 1 to `size` bytes, or none at the end. Raises BlockingIOError (or its TLS kin) when none came."""
        if self._at >= len(self._unread):
            try:
                self._unread, self._at = self._sock.recv(_READ_BYTES), 0
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except OSError as broken:
                self.problem = str(broken)
                raise
        piece = self._unread[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def send(self, piece: bytes | bytearray) -> int:
        """Take the whole piece over, to be sent by `flush`."""
        self._unsent += piece
        return len(piece)

    def flush(self) -> bool:
        """Send what the network takes now; True when nothing is left. Raises OSError when the link is broken."""
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            del self._unsent[:sent]
        return True

    def send_last(self, piece: bytes) -> None:
        """Send what is left and a last piece, as far as the network takes it now, and tell the peer that this is all.

        The socket stays open for reading: closing it over unread bytes would reset the link, and the peer might never
        read the last piece.
        """
        self._unsent += piece
        with contextlib.suppress(OSError):
            self.flush()
            self._sock.shutdown(socket.SHUT_WR)

    def at_end(self) -> bool:
        """Throw away what came; True when the peer has closed its side or the link is broken."""
        try:
            while self._sock.recv(_READ_BYTES):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        """Use it no more; what was not flushed is lost. The descriptor stays the loop's to let go of: see `release`."""
        self.closed = True

    def release(self) -> None:
        """Close the descriptor, once no event loop watches it any more. May be called again."""
        self.closed = True
        self._sock.close()

    def progress(self) -> tuple[int, int]:
        """How many bytes of ours the peer's host has confirmed, counted from anywhere, and how many wait here or are on
        their way. Both 0 where the operating system does not tell: elsewhere than on Linux.
        """
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
            queued = struct.unpack("i", fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4)))[0]
            return struct.unpack_from("Q", info, _ARRIVED_AT)[0], queued + len(self._unsent)
        except (OSError, AttributeError, struct.error):
            return 0, 0

    def limit_patience(self) -> None:
        """Have the operating system end the link when what we sent is not confirmed within 2 s and twice what the
        way takes: later on a slow or uneven way, where silence means less. Without effect elsewhere than on Linux.
        """
        with contextlib.suppress(OSError, AttributeError, struct.error):
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
            mean_us, deviation_us = struct.unpack_from("II", info, _RTT_AT)
            patience_s = min(_PATIENCE_S[0] + 2 * (mean_us + 4 * deviation_us) / 1e6, _PATIENCE_S[1])
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience_s * 1000))

    def fileno(self) -> int:
        """The file descriptor, -1 once closed."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """It never blocks, whatever is wished."""


async def open_socket(address: Address, *, reach_s: float, secure_s: float) -> BufferedSocket:
    """Connect, with TCP_NODELAY and TLS where the address wants it. Raises OSError.

    `reach_s` is the deadline for TCP to each address of the host, `secure_s` for finding them and, once more, for TLS.
    """
    loop = asyncio.get_running_loop()
    problem = OSError(f"{address.host} has no address")
    try:
        async with asyncio.timeout(secure_s):
            places = await loop.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            )
    except UnicodeError as odd:
        raise OSError(f"{address.host} is no name of a host") from odd
    for family, kind, protocol, _, place in places:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(reach_s):
                await loop.sock_connect(sock, place)
            async with asyncio.timeout(secure_s):
                return BufferedSocket(await _secure(sock, address.host) if address.tls else sock)
        except OSError as failed:
            sock.close()
            problem = failed
        except BaseException:
            sock.close()
            raise
    raise problem


async def _secure(sock: socket.socket, host: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    secured = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                await _ready(secured, writable=False)
            except ssl.SSLWantWriteError:
                await _ready(secured, writable=True)
            else:
                return secured
    except BaseException:
        secured.close()
        raise


async def _ready(sock: socket.socket, *, writable: bool) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    add, remove = (loop.add_writer, loop.remove_writer) if writable else (loop.add_reader, loop.remove_reader)
    add(sock.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock.fileno())
