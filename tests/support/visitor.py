"""A client in a process of its own, so that its own garbage is not the service's.

``python visitor.py PORT CYCLES QUERY``: comes, takes a quote, reads nothing for a while, reads again and
leaves in one of four ways, over and over.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time

HEAD = (
    "GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
PING = b"\x89\x82\x00\x00\x00\x00hi"
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"
BAD = b"\xff\x80\x00\x00\x00\x00"
SUBSCRIBE = b'{"action":"subscribe","symbols":["AAPL","MSFT"]}'


def visit(port: int, number: int, query: str) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.settimeout(120)
        sock.connect(("127.0.0.1", port))
        stream = number % 2
        sock.sendall(HEAD.format(("/stream" if stream else "/quotes/AAPL") + query).encode())
        if stream:
            sock.sendall(bytes((0x81, 0x80 | len(SUBSCRIBE))) + bytes(4) + SUBSCRIBE)
        sock.recv(65_536)
        sock.sendall(PING)
        if number % 8 < 4:
            time.sleep(0.05)
        sock.recv(65_536)
        leave(sock, number % 4)


def leave(sock: socket.socket, how: int) -> None:
    if how == 0:
        sock.sendall(CLOSE)
        while sock.recv(65_536):
            pass
    elif how == 1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == 2:
        sock.sendall(BAD)


if __name__ == "__main__":
    for cycle in range(int(sys.argv[2])):
        with contextlib.suppress(ConnectionError):
            visit(int(sys.argv[1]), cycle, sys.argv[3])
