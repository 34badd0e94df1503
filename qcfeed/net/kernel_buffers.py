"""What the kernel keeps for a connection, and how much it may."""

from __future__ import annotations

import socket
import struct
import sys

_INT = struct.Struct("i")


def bound_send_buffer(sock: socket.SocketType, size: int) -> None:
    """Let the kernel keep at most about twice ``size`` bytes of what the peer has not taken.

    Linux doubles the figure for its own bookkeeping (socket(7)) and counts that against it, so of
    payload it keeps less than what is allowed it.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def bound_silence(sock: socket.SocketType, seconds: float) -> None:
    """Let the kernel drop a peer that acknowledges nothing of what it was sent for so long (tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def send_queue(sock: socket.SocketType | None) -> int | None:
    """Bytes written that the peer has not acknowledged (SIOCOUTQ, tcp(7)).

    None where the system does not tell, which is everywhere but on Linux, and for a socket that is
    gone. One system call, from any thread.
    """
    if sys.platform != "linux" or sock is None:
        return None
    import fcntl
    import termios

    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    except (OSError, ValueError):  # it closed meanwhile
        return None
    return int(_INT.unpack(answer)[0])
