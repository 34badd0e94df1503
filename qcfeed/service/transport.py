"""A TCP transport as slim as a subscriber's connection needs it, and the accepting of them.

asyncio's own costs a task, six callbacks and 1.3 KB a connection; this one is an object on the loop's
readers. It keeps asyncio's contract with a protocol, so aiohttp's can be handed a connection that
was accepted here (docs/adr/0019).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any, cast

log = logging.getLogger("qcfeed.transport")

_MOST_READ = 65_536
"""Bytes of one read: below what malloc would fetch from the system each time."""
_MOST_ACCEPTED = 64
"""Connections accepted in one turn of the loop; the rest wait in the kernel's queue."""
_HIGH, _LOW = 65_536, 16_384
_NO_ROOM = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_NO_ROOM_PAUSE = 1.0
"""Seconds until it is tried again to accept when files or memory have run out."""


class Transport(asyncio.Transport):
    """One accepted connection. Its protocol is told everything in the loop, and its end just once."""

    __slots__ = (
        "_closing",
        "_ending",
        "_high",
        "_loop",
        "_low",
        "_protocol",
        "_reading",
        "_sock",
        "_unsent",
        "_waiting",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.Protocol
    ) -> None:
        # Not super().__init__(): it makes a dict of extra information.
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._unsent: bytearray | None = None
        self._high, self._low = _HIGH, _LOW
        self._waiting = False
        """Whether the protocol was told to pause writing."""
        self._closing = False
        """Whether nothing is read or taken any more; what is unsent may still leave."""
        self._ending = False
        """Whether our half ends once everything is sent."""
        self._reading = False
        protocol.connection_made(self)
        self.resume_reading()
        if self._reading:
            self._readable()  # a request has mostly come before its connection is accepted

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``socket``, ``peername`` and ``sockname``, asked of the kernel when they are wanted."""
        try:
            if name == "socket":
                return self._sock
            if name == "peername":
                return self._sock.getpeername()
            if name == "sockname":
                return self._sock.getsockname()
        except OSError:
            pass
        return default

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    # ------------------------------------------------------------ reading

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock.fileno())

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_MOST_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._drop(error)
            return
        try:
            if data:
                self._protocol.data_received(data)
            elif self._protocol.eof_received():
                self.pause_reading()  # the protocol goes on writing
            else:
                self.close()
        except Exception as error:
            log.exception("a bug in a connection's protocol ended it")
            self._drop(error)

    # ------------------------------------------------------------ writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send now what the kernel takes, and the rest when it takes more."""
        if self._unsent is not None:
            self._unsent += data
            return
        if self._closing:
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._drop(error)
            return
        if sent < len(data):
            self._unsent = bytearray(memoryview(data)[sent:])
            self._loop.add_writer(self._sock.fileno(), self._writable)
            self._pause_above_limit()

    def _pause_above_limit(self) -> None:
        if not self._waiting and self.get_write_buffer_size() > self._high:
            self._waiting = True
            self._protocol.pause_writing()

    def _writable(self) -> None:
        unsent = cast("bytearray", self._unsent)
        try:
            del unsent[: self._sock.send(unsent)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._drop(error)
            return
        if not unsent:
            self._unsent = None
            self._loop.remove_writer(self._sock.fileno())
        if self._waiting and len(unsent) <= self._low:
            self._waiting = False
            self._protocol.resume_writing()
        if self._unsent is None:
            self._all_sent()

    def _all_sent(self) -> None:
        if self._closing:
            self._loop.call_soon(self._end, None)
        elif self._ending:
            self._shut()

    def get_write_buffer_size(self) -> int:
        return 0 if self._unsent is None else len(self._unsent)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = _HIGH if low is None else 4 * low
        self._high, self._low = high, high // 4 if low is None else low
        self._pause_above_limit()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closing and not self._ending:
            self._ending = True
            if self._unsent is None:
                self._shut()

    def _shut(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # the peer has reset it meanwhile
            self._drop(error)

    # ------------------------------------------------------------ the end

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Read no more, send what is unsent, and then end."""
        if not self._closing:
            self._stop_reading()
            if self._unsent is None:
                self._loop.call_soon(self._end, None)

    def abort(self) -> None:
        """End now; what is unsent is gone."""
        self._drop(None)

    def _drop(self, error: Exception | None) -> None:
        if self._closing and self._unsent is None:
            return  # it ends already
        self._stop_reading()
        if self._unsent is not None:
            self._unsent = None
            self._loop.remove_writer(self._sock.fileno())
        self._loop.call_soon(self._end, error)

    def _stop_reading(self) -> None:
        self.pause_reading()
        self._closing = True

    def _end(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._sock.close()
            self._protocol = asyncio.Protocol()  # no circle is left behind


class Acceptor:
    """Accepts on a bound socket, which is its own to close, and makes a protocol for each."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bound: socket.socket,
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        self._loop = loop
        self._listener = bound
        self._make = make
        self._pause: asyncio.TimerHandle | None = None

    def start(self, backlog: int) -> None:
        """Listen. Raises OSError."""
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more. Whoever waits in the kernel's queue is reset."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(_MOST_ACCEPTED):
            try:
                sock, _peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                log.warning(
                    "no connection can be accepted: %s; trying again shortly", error.strerror
                )
                self._loop.remove_reader(self._listener.fileno())
                self._pause = self._loop.call_later(_NO_ROOM_PAUSE, self._go_on)
                return
            sock.setblocking(False)
            Transport(self._loop, sock, self._make())

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept)
