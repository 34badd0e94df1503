"""Which process is at the other end of a Unix socket, from the kernel (``SO_PEERCRED``, unix(7)).

Imports nothing slow, because TAB completion uses it too.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct

_UCRED = struct.Struct("iII")
"""``struct ucred``: pid, uid, gid."""


class Peer:
    """The process at the other end of a Unix socket. ``pid`` is 0 outside our pid namespace."""

    __slots__ = ("pid", "uid")

    def __init__(self, pid: int, uid: int) -> None:
        self.pid = pid
        self.uid = uid

    @property
    def user(self) -> str:
        """The user's name, or the number if there is no name."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    @property
    def is_trusted(self) -> bool:
        """Whether it may be our service: root accepts any user, other users only themselves and root."""
        mine = os.geteuid()
        return mine == 0 or self.uid in (0, mine)


def peer(connected: socket.socket) -> Peer:
    """The process at the other end, as it was when it connected or began to listen."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(raw)
    return Peer(pid, uid)


def me() -> Peer:
    """This process as a peer."""
    return Peer(os.getpid(), os.geteuid())
