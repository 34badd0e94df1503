"""The accepting of connections, each on a transport of ours, and what to do when there is no room."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import TypeAlias

from qcfeed.net.poller import READ, Poller
from qcfeed.net.transport import Transport

log = logging.getLogger("qcfeed.acceptor")

MOST_ACCEPTED = 64
"""Connections accepted in one turn of the loop; the rest wait in the kernel's queue."""
_SHARE = 0.1
"""Of the time that they have waited there: so long it may take to accept more of them. Where a turn is
long, because everything is sent at full rate, a few dozen a turn would be a trickle.
"""
_NO_ROOM = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
NO_ROOM_PAUSE = 1.0
"""Seconds until it is tried again to accept when files or memory have run out."""

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""Of a peer, as the kernel gives it for IPv4 and IPv6."""


def bare_accept(listener: socket.socket) -> Callable[[], tuple[int, Address]]:
    """Accepts the next connection of ``listener``: its descriptor, and the peer's address.

    ``socket._accept`` is the step of CPython's own ``accept()`` that does this and nothing else;
    ``accept()`` also makes enumerations and a socket object, 3 us that nobody here has a use for. It
    is private, so where it is missing the public method serves.
    """
    private: Callable[[], tuple[int, Address]] | None = getattr(listener, "_accept", None)
    if private is not None:
        return private

    def public() -> tuple[int, Address]:
        sock, address = listener.accept()
        return sock.detach(), address

    return public


class Acceptor:
    """Accepts on a bound socket, which is its own to close, and makes a protocol for each."""

    _poller: Poller

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bound: socket.socket,
        make: Callable[[Address], asyncio.Protocol],
    ) -> None:
        self._loop = loop
        self._listener = bound
        self._family = bound.family
        self._take = bare_accept(bound)
        self._make = make
        self._pause: asyncio.TimerHandle | None = None
        self._left_at: float | None = None
        """When more were waiting than could be accepted in a turn."""

    def start(self, backlog: int) -> None:
        """Listen. Raises OSError."""
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self._poller = Poller(self._loop)
        self._go_on()

    def close(self) -> None:
        """Accept no more. Whoever waits in the kernel's queue is reset."""
        if self._pause is not None:
            self._pause.cancel()
        self._poller.forget(self._listener.fileno())
        self._poller.retire()
        self._listener.close()

    def ready(self, _events: int) -> None:
        """For the poller: somebody wants to come in."""
        now, left_at = self._loop.time(), self._left_at
        until = now if left_at is None else now + (now - left_at) * _SHARE
        self._left_at = None
        accepted = 0
        while self._accept():
            accepted += 1
            if accepted >= MOST_ACCEPTED and (now := self._loop.time()) >= until:
                self._left_at = now
                return

    def _accept(self) -> bool:
        """Accept the next one, if somebody waits and there is room."""
        try:
            descriptor, address = self._take()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            log.warning("no connection can be accepted: %s; trying again shortly", error.strerror)
            self._poller.forget(self._listener.fileno())
            self._pause = self._loop.call_later(NO_ROOM_PAUSE, self._go_on)
            return False
        sock = socket.SocketType(self._family, socket.SOCK_STREAM, 0, fileno=descriptor)
        sock.setblocking(False)
        Transport(self._poller, sock, self._make(address))
        return True

    def end(self, error: Exception | None) -> None:
        """For the poller, which is never asked for it."""

    def _go_on(self) -> None:
        self._pause = None
        self._poller.watch(self._listener.fileno(), READ, self)
