"""A TCP transport as slim as a subscriber's connection needs it.

asyncio's own costs a task, six callbacks and 1.3 KB a connection; this one is an object that a poller
of ours calls. It keeps asyncio's contract with a protocol, so aiohttp's can be handed a connection
that was accepted here (docs/adr/0019).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

from qcfeed.net.poller import READ, WRITE, Poller

log = logging.getLogger("qcfeed.transport")

_MOST_READ = 65_536
"""Bytes of one read: below what malloc would fetch from the system each time."""
_HIGH, _LOW = 65_536, 16_384
_WITH_THE_NEXT = getattr(socket, "MSG_MORE", 0)
"""Flag of what may wait for more to be sent, the end of the connection at the latest (send(2))."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Transport(asyncio.Transport):
    """One accepted connection. Its protocol is told everything in the loop, and its end just once."""

    __slots__ = (
        "_closing",
        "_ending",
        "_eof",
        "_high",
        "_low",
        "_poller",
        "_protocol",
        "_reading",
        "_sock",
        "_unsent",
        "_waiting",
    )

    def __init__(self, poller: Poller, sock: socket.SocketType, protocol: asyncio.Protocol) -> None:
        # Not super().__init__(): it makes a dict of extra information.
        self._poller = poller
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
        self._eof = False
        """Whether the peer has ended its half: nothing more can be read, although it is not paused."""
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
            self._watch()

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading, self._eof = True, False
            self._watch()

    def _watch(self) -> None:
        reading, writing = self._reading and not self._eof, self._unsent is not None
        events = (READ if reading else 0) | (WRITE if writing else 0)
        self._poller.watch(self._sock.fileno(), events, self)

    def ready(self, events: int) -> None:
        """For the poller: it can be read or written, or its peer is gone, which either will find."""
        if events & ~WRITE and self._reading and not self._eof:
            self._readable()
        if events & ~READ and self._unsent is not None:
            self._writable()

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
                self._eof = True  # the protocol goes on writing
                self._watch()
            else:
                self.close()
        except Exception as error:
            log.exception("a bug in a connection's protocol ended it")
            self._drop(error)

    # ------------------------------------------------------------ writing

    def write(self, data: bytes | bytearray | memoryview, flags: int = 0) -> None:
        """Send now what the kernel takes, and the rest when it takes more. ``flags``: see send(2).

        Raises RuntimeError after ``write_eof``.
        """
        if self._ending:
            raise RuntimeError("cannot write after write_eof")
        if self._unsent is not None:
            self._unsent += data
            return
        if self._closing or not data:
            return
        try:
            sent = self._sock.send(data, flags)
        except OSError as error:
            self.keep(data, error)
        else:
            if sent < len(data):
                self.keep(memoryview(data)[sent:], None)

    @property
    def push(self) -> Callable[[bytes], int]:
        """The kernel's own send, which takes what it has room for, and raises OSError when that is nothing.

        What it does not take is to be kept. For who writes to thousands in a row, and only while nothing is unsent: this object and a call of
        Python's cost a tenth of such a write, most of it for memory that nobody has touched since the last.
        """
        return self._sock.send

    def keep(self, rest: bytes | bytearray | memoryview, error: OSError | None) -> None:
        """``rest`` is what the kernel did not take of a write: it leaves when there is room.

        ``error``: what the kernel said; one that is not for want of room ends the connection.
        """
        if error is not None and not isinstance(error, (BlockingIOError, InterruptedError)):
            self._drop(error)
            return
        self._unsent = bytearray(rest)
        self._watch()
        self._pause_above_limit()

    def _pause_above_limit(self) -> None:
        if not self._waiting and self.get_write_buffer_size() > self._high:
            self._waiting = True
            _tell(self._protocol.pause_writing)

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
            self._watch()
        if self._waiting and len(unsent) <= self._low:
            self._waiting = False
            _tell(self._protocol.resume_writing)
        if self._unsent is None:
            self._all_sent()

    def _all_sent(self) -> None:
        if self._closing:
            self._poller.end_soon(self, None)
        elif self._ending:
            self._shut()

    def get_write_buffer_size(self) -> int:
        return 0 if self._unsent is None else len(self._unsent)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = _HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"a high limit of {high} and a low one of {low} cannot both hold")
        self._high, self._low = high, low
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

    def close(self, last: bytes | None = None) -> None:
        """Read no more, send what is unsent, ``last`` behind it, and then end.

        ``last`` and the end of the connection leave as one segment where nothing is unsent.
        """
        if last is not None:
            self.write(last, _WITH_THE_NEXT)
        if self._closing:
            return
        self._closing = True
        if self._unsent is None:
            self._reading = False  # as good as paused: the descriptor is forgotten when it ends
            self._poller.end_soon(self, None)
        else:
            self.pause_reading()

    def abort(self) -> None:
        """End now; what is unsent is gone."""
        self._drop(None)

    def reset(self) -> None:
        """As abort, and what the kernel still keeps for the peer is gone, too.

        A socket that is merely closed keeps its unsent bytes for as long as the peer's window is
        shut; a reset frees them (SO_LINGER with 0 seconds, socket(7)).
        """
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    def _drop(self, error: Exception | None) -> None:
        if self._closing and self._unsent is None:
            return  # it ends already
        self._closing = True
        self._reading = False
        self._unsent = None
        self._poller.end_soon(self, error)  # which comes before the next events are asked for

    def end(self, error: Exception | None) -> None:
        """For the poller: what is to be told is told, and the socket closed."""
        self._poller.forget(self._sock.fileno())
        try:
            self._protocol.connection_lost(error)
        finally:
            self._sock.close()
            self._protocol = asyncio.Protocol()  # no circle is left behind


def _tell(what: Callable[[], None]) -> None:
    """Pause or resume a protocol. A bug in it does not keep its connection from ending later."""
    try:
        what()
    except Exception:
        log.exception("a bug in a connection's protocol: its %s failed", what.__name__)
