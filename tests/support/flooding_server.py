"""A server that means harm: it answers one way, and then sends the same bytes as fast as it can."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator

from wsproto.utilities import generate_accept_token

from qcfeed.model import frames

Answer = Callable[[bytes], bytes]


def upgraded(request: bytes) -> bytes:
    """The response that accepts an upgrade."""
    key = re.search(rb"sec-websocket-key: *(\S+)", request, re.IGNORECASE)
    accept = generate_accept_token(key[1]) if key else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def text(payload: str) -> bytes:
    """One text frame."""
    return frames.text(payload.encode())


PING = b"\x89\x7d" + b"p" * 125
EMPTY_PING = b"\x89\x00"
FIRST_FRAGMENT = b"\x01\x7d" + b"f" * 125
FRAGMENT = b"\x00\x7d" + b"f" * 125
HUGE_FRAME = b"\x81\x7f" + (2**40).to_bytes(8, "big")
"""The head of a text frame of a tebibyte."""


@contextlib.contextmanager
def flooding(answer: Answer, once: bytes, flood: Iterator[bytes] | bytes) -> Iterator[int]:
    """Yields the port. Each connection gets ``answer(request)``, ``once``, then ``flood`` until it ends.

    The flood is sent by a thread per connection, in pieces of about 64 kB.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    held: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                if not (got := connection.recv(65_536)):
                    return
                request += got
            connection.sendall(answer(request) + once)
            pieces = flood if not isinstance(flood, bytes) else _repeated(flood)
            for piece in pieces:
                connection.sendall(piece)
            while connection.recv(65_536):
                pass

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                held.append(connection)
                thread = threading.Thread(target=serve, args=(connection,))
                thread.start()
                threads.append(thread)

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()
        for connection in held:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def _repeated(data: bytes) -> Iterator[bytes]:
    many = data * max(1, 65_536 // max(1, len(data)))
    while data:
        yield many
