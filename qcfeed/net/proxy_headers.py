"""Reads the PROXY protocol header with which a proxy begins each connection.

The header comes before everything else, also before TLS. The bytes behind it belong to the next reader of
the socket, so they are only peeked at (MSG_PEEK), and exactly the header is read.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from qcfeed.access import proxy_protocol
from qcfeed.access.client_address import SocketAddress, join_host_port
from qcfeed.access.proxy_protocol import HeaderOutcome
from qcfeed.net.poller import READ, Poller
from qcfeed.net.transport import RESET_ON_CLOSE

log = logging.getLogger("qcfeed.proxy_headers")

HEADER_TIMEOUT = 5.0
"""Seconds in which the header must be complete."""
MOST_WAITING = 1_000
"""Connections that may wait for their header; further ones are dropped."""
_SWEEP = 0.5
"""Seconds between two checks of the deadlines."""

Begin = Callable[[Poller, socket.SocketType, SocketAddress], None]
"""Takes over a socket whose header was read; the address is the client's."""


class ProxyHeaders:
    """The connections of one port whose header is not complete. ``trusts``: who may send one.

    ``count``: counts a connection that was dropped, by reason.
    """

    def __init__(
        self, begin: Begin, trusts: Callable[[str], bool], count: Callable[[str], None]
    ) -> None:
        self._begin = begin
        self._trusts = trusts
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[HeaderReader, float] = {}
        """With the time at which each is dropped, the earliest first."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def read(self, poller: Poller, sock: socket.SocketType, address: SocketAddress) -> None:
        """Read the header of an accepted connection, and then hand it on."""
        reader = HeaderReader(self, poller, sock, address)
        if not self._trusts(address[0]):
            self.drop(reader, "it does not come from a network of --trusted-proxy")
        elif len(self._waiting) >= MOST_WAITING:
            self.drop(reader, f"{MOST_WAITING} others wait for theirs")
        else:
            self._waiting[reader] = self._loop.time() + HEADER_TIMEOUT
            if self._timer is None:
                self._timer = self._loop.call_later(_SWEEP, self._sweep)
            reader.start()

    def close(self) -> None:
        """Drop all connections that still wait."""
        if self._timer is not None:
            self._timer.cancel()
        for each in list(self._waiting):
            self._waiting.pop(each)
            each.reset()

    def begin(self, reader: HeaderReader, address: SocketAddress) -> None:
        """The header is complete."""
        self._waiting.pop(reader, None)
        self._begin(reader.poller, reader.sock, address)

    def drop(self, reader: HeaderReader, why: str) -> None:
        """Reset the connection, count it, and write one line."""
        self._waiting.pop(reader, None)
        self._count("proxy_header")
        log.warning("dropped a connection from %s: %s", join_host_port(*reader.address[:2]), why)
        reader.reset()

    def _sweep(self) -> None:
        now = self._loop.time()
        for each, deadline in list(self._waiting.items()):
            if deadline > now:
                break
            self.drop(each, f"no PROXY header within {HEADER_TIMEOUT:g} s")
        again = bool(self._waiting)
        self._timer = self._loop.call_later(_SWEEP, self._sweep) if again else None


class HeaderReader:
    """One connection until its header is complete. The poller holds it."""

    __slots__ = ("_data", "_host", "address", "poller", "sock")

    def __init__(
        self, host: ProxyHeaders, poller: Poller, sock: socket.SocketType, address: SocketAddress
    ) -> None:
        self._host = host
        self._data = b""
        self.poller = poller
        self.sock = sock
        self.address = address

    def start(self) -> None:
        self.poller.watch(self.sock.fileno(), READ, self)
        self.ready(READ)  # it has usually arrived before its connection is accepted

    def ready(self, _events: int) -> None:
        """Called by the poller when there is something to read."""
        try:
            seen = self.sock.recv(proxy_protocol.MAX_V2, socket.MSG_PEEK)
            if not seen:
                self._host.drop(self, "it ended before its PROXY header")
                return
            found = proxy_protocol.parse(self._data + seen)
            if found.outcome is HeaderOutcome.INVALID:
                self._host.drop(self, "it does not begin with a PROXY header")
            elif found.outcome is HeaderOutcome.INCOMPLETE:
                # Read now: the poller is level-triggered, and would report unread bytes in every turn.
                self._data += self.sock.recv(len(seen))  # all of it belongs to the header
            else:
                self._take(found)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._host.drop(self, error.strerror or str(error))

    def _take(self, found: proxy_protocol.Header) -> None:
        # No more than the header: the bytes behind it belong to TLS or to the request.
        self.sock.recv(found.size - len(self._data))
        self.poller.unwatch(self.sock.fileno())
        self._host.begin(self, found.source or self.address)

    def reset(self) -> None:
        """Close the connection with a reset."""
        self.poller.unwatch(self.sock.fileno())
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.sock.close()

    def end(self, error: Exception | None) -> None:
        """Part of the poller's protocol; never called, because nothing here calls ``end_soon``."""
