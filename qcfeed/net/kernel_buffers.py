"""Limits and reads the kernel's buffers of a connection."""

from __future__ import annotations

import socket
import struct
import sys

_INT = struct.Struct("i")


def limit_send_buffer(sock: socket.SocketType, size: int) -> None:
    """Limit the kernel's send buffer to about twice ``size`` bytes.

    Linux doubles the value to make room for its bookkeeping (socket(7)), and counts the bookkeeping
    against it, so the payload it buffers is smaller than the limit.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def limit_unacknowledged_time(sock: socket.SocketType, seconds: float) -> None:
    """Let the kernel drop a peer that acknowledges nothing for ``seconds`` (TCP_USER_TIMEOUT, tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def send_queue(sock: socket.SocketType | None) -> int | None:
    """Bytes written that the peer has not acknowledged yet (SIOCOUTQ, tcp(7)).

    None for a closed socket, and on systems other than Linux. Costs one system call; callable from
    any thread.
    """
    return _ask(sock, "TIOCOUTQ")


def receive_queue(sock: socket.SocketType | None) -> int | None:
    """Bytes received that nobody has read yet (SIOCINQ, tcp(7)); otherwise like ``send_queue``."""
    return _ask(sock, "FIONREAD")


def _ask(sock: socket.SocketType | None, request: str) -> int | None:
    if sys.platform != "linux" or sock is None:
        return None
    # Here, because they exist on Unix only. termios has SIOCOUTQ and SIOCINQ under the names TIOCOUTQ and FIONREAD.
    import fcntl
    import termios

    try:
        answer = fcntl.ioctl(sock.fileno(), getattr(termios, request), bytes(_INT.size))
    except (OSError, ValueError):  # another thread has closed it
        return None
    return int(_INT.unpack(answer)[0])
