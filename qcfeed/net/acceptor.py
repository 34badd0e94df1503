"""Accepts connections, and pauses when the process runs out of files or memory."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TypeAlias

from qcfeed.access.client_address import SocketAddress
from qcfeed.log_limit import RepeatLimit
from qcfeed.net.descriptors import OUT_OF_RESOURCES, Reserve
from qcfeed.net.poller import READ, Poller
from qcfeed.net.proxy_headers import ProxyHeaders
from qcfeed.net.transport import Transport

log = logging.getLogger("qcfeed.acceptor")
log.addFilter(RepeatLimit())  # also in programs that use attach(), whose log has no other limit

MAX_ACCEPTS = 64
"""Connections accepted per turn of the loop; the rest wait in the kernel's queue."""
_ACCEPT_TIME_SHARE = 0.1
"""Beyond MAX_ACCEPTS, accepting may take this share of the time since the last turn that stopped early.

When turns are long, because quotes are sent at full rate, a fixed number per turn would be too few.
"""
RETRY_DELAY = 1.0
"""Seconds until accepting is retried after files or memory have run out."""


NewTransport: TypeAlias = Callable[[Poller, socket.SocketType, asyncio.Protocol], object]
"""Takes over an accepted socket; its poller keeps what it creates."""


def raw_accept(listener: socket.socket) -> Callable[[], tuple[int, SocketAddress]]:
    """A callable that accepts the next connection: its file descriptor, and the peer's address.

    CPython's ``accept()`` calls the private ``socket._accept`` and then builds enumerations and a
    socket object, which costs 3 us and is not needed here. Where ``_accept`` is missing, the public
    method is used.
    """
    private: Callable[[], tuple[int, SocketAddress]] | None = getattr(listener, "_accept", None)
    if private is not None:
        return private

    def public() -> tuple[int, SocketAddress]:
        sock, address = listener.accept()
        return sock.detach(), address

    return public


class Acceptor:
    """Accepts connections on a bound socket, which it owns, and creates a protocol for each."""

    _poller: Poller

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bound: socket.socket,
        new_protocol: Callable[[SocketAddress], asyncio.Protocol],
        *,
        name: str = "connections",
        most_per_turn: int | None = None,
        reserve: Reserve | None = None,
        new_transport: NewTransport = Transport,
    ) -> None:
        """``name``: what it accepts, for log lines. ``most_per_turn``: never accept more in one turn of the loop.

        ``reserve``: descriptors to give up when the process has no others left.
        """
        self._loop = loop
        self._name = name
        self._most_per_turn = most_per_turn
        self._reserve = reserve
        self._listener = bound
        self._family = bound.family
        self._raw_accept = raw_accept(bound)
        self._new_protocol = new_protocol
        self._new_transport = new_transport
        self.proxy_headers: ProxyHeaders | None = None
        """Reads the header that connections begin with; None if they have none."""
        self._retry_timer: asyncio.TimerHandle | None = None
        self._refill_timer: asyncio.TimerHandle | None = None
        self._stopped_at: float | None = None
        """Loop time at which the last turn stopped accepting although more were waiting."""

    def start(self, backlog: int) -> None:
        """Listen with the given backlog and accept from now on. Raises OSError."""
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self._poller = Poller(self._loop)
        self._resume()

    def close(self) -> None:
        """Stop accepting. The kernel resets connections that wait in its queue."""
        for timer in (self._retry_timer, self._refill_timer):
            if timer is not None:
                timer.cancel()
        self._poller.unwatch(self._listener.fileno())
        # Not at once: the connections that were accepted use the same poller.
        self._poller.close_when_idle()
        self._listener.close()

    def ready(self, _events: int) -> None:
        """Called by the poller when connections are waiting."""
        now, stopped_at = self._loop.time(), self._stopped_at
        until = now if stopped_at is None else now + (now - stopped_at) * _ACCEPT_TIME_SHARE
        self._stopped_at = None
        accepted = 0
        while self._accept():
            accepted += 1
            if accepted == self._most_per_turn:
                return
            if accepted >= MAX_ACCEPTS and (now := self._loop.time()) >= until:
                self._stopped_at = now
                return

    def _accept(self) -> bool:
        """Accept one connection; False if none waits or resources have run out."""
        try:
            descriptor, address = self._accepted()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            # ECONNABORTED: the peer gave up while it was queued (accept(2)). The listener stays readable
            # if others wait, and the poller reports it again.
            return False
        except OSError as error:
            if error.errno not in OUT_OF_RESOURCES:
                raise
            log.warning(
                "cannot accept %s: %s; accepting again in %g s, see `ulimit -n` and `free`",
                self._name,
                error.strerror,
                RETRY_DELAY,
            )
            # The listener stays readable: without unwatching it, the loop would spin.
            self._poller.unwatch(self._listener.fileno())
            self._retry_timer = self._loop.call_later(RETRY_DELAY, self._resume)
            return False
        # The C base class of ``socket.socket``: it has all that a transport needs, and is smaller.
        sock = socket.SocketType(self._family, socket.SOCK_STREAM, 0, fileno=descriptor)
        sock.setblocking(False)
        if self.proxy_headers is None:
            self.begin(self._poller, sock, address)
        else:
            self.proxy_headers.read(self._poller, sock, address)
        return True

    def begin(self, poller: Poller, sock: socket.SocketType, address: SocketAddress) -> None:
        """Serve an accepted socket; ``address``: the client's."""
        # The result is not kept here: the poller refers to the transport until its end.
        self._new_transport(poller, sock, self._new_protocol(address))

    def _accepted(self) -> tuple[int, SocketAddress]:
        """Accept with a descriptor of the reserve if there is no other."""
        reserve = self._reserve
        if reserve is None:
            return self._raw_accept()
        try:
            return reserve.attempt(self._raw_accept)
        finally:
            # Also if no connection waits: the kernel needs a descriptor before it looks (accept(2)).
            if not reserve.is_full:
                self._refill_soon()

    def _refill_soon(self) -> None:
        if self._refill_timer is None:
            self._refill_timer = self._loop.call_later(RETRY_DELAY, self._refill)

    def _refill(self) -> None:
        self._refill_timer = None
        if self._reserve is not None and not self._reserve.refill():
            self._refill_soon()

    def end(self, error: Exception | None) -> None:
        """Part of the poller's protocol; never called, because nothing here calls ``end_soon``."""

    def _resume(self) -> None:
        self._retry_timer = None
        self._poller.watch(self._listener.fileno(), READ, self)
