"""An HTTP server on loopback that answers with bytes of one's own: well, badly, slowly, or never."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from http import HTTPStatus
from typing import Any

from tests.support.patience import PATIENCE
from tests.support.ports import refusing_port

Answer = Callable[[str, Message], Iterable[bytes]]
"""From a request's target and headers to the pieces of what is sent back."""
PAUSE = 0.05
"""Seconds between two pieces of an answer that drips."""
DRIPS = round(5 * PATIENCE / PAUSE)
"""Pieces of one: longer than anybody waits."""


def reply(
    body: bytes | str, *, status: int = 200, kind: str = "application/json", **headers: str
) -> bytes:
    """One whole HTTP answer."""
    raw = body.encode() if isinstance(body, str) else body
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n{extra}"
        f"Content-Length: {len(raw)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + raw


def success(data: Any, **beside: Any) -> bytes:
    """As Prometheus answers."""
    return reply(json.dumps({"status": "success", "data": data, **beside}))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        self.answer = answer
        self.over = threading.Event()
        self.tls = tls

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        if self.tls is not None:
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, peer

    def handle_error(self, *_: Any) -> None:
        """A client that leaves early is what many of these tests are about."""


class _Visit(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        target = self.rfile.readline().decode().split(" ")[1]
        headers = Message()
        while line := self.rfile.readline().strip().decode():
            name, _, value = line.partition(": ")
            headers[name] = value
        for piece in self.server.answer(target, headers):
            self.wfile.write(piece)
            self.wfile.flush()
            if self.server.over.is_set():
                return


@contextlib.contextmanager
def serving(answer: Answer, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Its URL, until the end of the block."""
    server = _Server(answer, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    scheme = "http" if tls is None else "https"
    try:
        yield f"{scheme}://localhost:{server.server_address[1]}"
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def never(_: str, __: Message) -> Iterator[bytes]:
    """Nothing, for longer than anybody waits."""
    for _ in range(DRIPS):
        threading.Event().wait(PAUSE)
        yield b""


def dripping(whole: bytes) -> Answer:
    """``whole``, a byte at a time and again from its beginning."""

    def answer(_: str, __: Message) -> Iterator[bytes]:
        for number in range(DRIPS):
            threading.Event().wait(PAUSE)
            yield whole[number % len(whole) :][:1]

    return answer


def between(url: str, change: Callable[[dict[str, Any]], None], **headers: str) -> Answer:
    """What the server at ``url`` answers, after ``change``, with these headers."""

    def answer(target: str, _: Message) -> Iterator[bytes]:
        with urllib.request.urlopen(url + target, timeout=PATIENCE) as real:
            said = json.load(real)
        change(said)
        yield reply(json.dumps(said), **headers)

    return answer


@contextlib.contextmanager
def refused() -> Iterator[str]:
    """A URL that refuses connections until the end of the block."""
    with refusing_port() as port:
        yield f"http://127.0.0.1:{port}"
