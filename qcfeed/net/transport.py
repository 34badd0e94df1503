"""A lightweight TCP transport.

asyncio's transport costs a task, six callbacks and 1.3 KB per connection. This one is a single object
that our poller calls. It keeps asyncio's contract between transport and protocol, so a connection
accepted here can be handed over to aiohttp's protocol (docs/adr/0019).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any, cast

from qcfeed.net.poller import READ, WRITE, Poller

log = logging.getLogger("qcfeed.transport")

_MAX_READ = 65_536
"""Bytes per read: below the size for which malloc would call mmap each time."""
_HIGH, _LOW = 65_536, 16_384
"""Default limits of the write buffer in bytes, the same as asyncio's."""
_MORE_FOLLOWS = getattr(socket, "MSG_MORE", 0)
"""send(2) flag: the kernel may hold the data back until more follows, here the FIN."""
_BLOCKED = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""Errors of a socket that is not ready: nothing is lost, and the poller will report when it is."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""struct linger for SO_LINGER: on, for 0 seconds. The next close then sends a reset (socket(7))."""


class Transport(asyncio.Transport):
    """One accepted connection. Calls its protocol in the loop's thread, ``connection_lost`` just once."""

    __slots__ = (
        "_closing",
        "_eof_requested",
        "_high",
        "_low",
        "_peer_eof",
        "_poller",
        "_protocol",
        "_reading",
        "_send",
        "_sock",
        "_unsent",
        "_writing_paused",
    )

    queued: bool = False
    """Whether the peer waits for us: its part of a TLS handshake has arrived, and ours is in a queue."""

    def __init__(self, poller: Poller, sock: socket.SocketType, protocol: asyncio.Protocol) -> None:
        # super().__init__() is not called: it would create a dict for the extra information.
        self._poller = poller
        self._sock = sock
        self._send = self._first_send(sock)
        self._protocol = protocol
        self._unsent: bytearray | None = None
        self._high, self._low = _HIGH, _LOW
        self._writing_paused = False
        """Whether ``pause_writing`` was called, and ``resume_writing`` not yet."""
        self._closing = False
        """Whether the transport is closing: it reads nothing, but may still send what is unsent."""
        self._eof_requested = False
        """Whether ``write_eof`` was called: our half is shut down once everything is sent."""
        self._reading = False
        self._peer_eof = False
        """Whether the peer has shut down its half: there is nothing to read, though not paused."""
        protocol.connection_made(self)
        self.resume_reading()
        if self._reading:
            self._readable()  # the request has usually arrived before its connection is accepted

    def _first_send(self, sock: socket.SocketType) -> Callable[..., int]:
        """What sends bytes, until a subclass replaces it: returns how many, or raises OSError."""
        return sock.send

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``socket``, ``peername`` and ``sockname``; the names cost a system call each time."""
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

    @property
    def unsent_buffer(self) -> bytearray | None:
        """What was written and the kernel has not accepted yet; None if nothing is."""
        return self._unsent

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
            self._reading, self._peer_eof = True, False
            self._watch()

    def _watch(self) -> None:
        reading, writing = self._reading and not self._peer_eof, self._unsent is not None
        events = (READ if reading else 0) | (WRITE if writing else 0)
        self._poller.watch(self._sock.fileno(), events, self)

    def ready(self, events: int) -> None:
        """Called by the poller. A hangup or error counts as both: the read or write will report it."""
        if events & ~WRITE and self._reading and not self._peer_eof:
            self._readable()
        # ``_readable`` may have closed the connection; a forced close leaves nothing unsent.
        if events & ~READ and self._unsent is not None:
            self._writable()

    def _readable(self) -> None:
        try:
            # Once per event: a busy peer must not keep the others waiting. The epoll is level-triggered,
            # so it reports again what is left.
            data = self._sock.recv(_MAX_READ)
        except _BLOCKED:
            return
        except OSError as error:
            self._force_close(error)
            return
        try:
            if data:
                self._protocol.data_received(data)
            elif self._protocol.eof_received():
                self._peer_eof = True  # the protocol wants to keep writing
                self._watch()
            else:
                self.close()
        except Exception as error:
            log.exception("bug in a connection's protocol; the connection is closed")
            self._force_close(error)

    # ------------------------------------------------------------ writing

    def write(self, data: bytes | bytearray | memoryview, flags: int = 0) -> None:
        """Send now what the kernel accepts, and queue the rest. ``flags``: see send(2).

        Raises RuntimeError after ``write_eof``.
        """
        if self._eof_requested:
            raise RuntimeError("cannot write after write_eof")
        # Also after ``close``, as in asyncio: until everything is sent, more can be queued behind it.
        if self._unsent is not None:
            self._unsent += data
            return
        if self._closing or not data:
            return
        try:
            sent = self._send(data, flags)
        except OSError as error:
            self.queue_unsent(data, error)
        else:
            if sent < len(data):
                self.queue_unsent(memoryview(data)[sent:], None)

    @property
    def push(self) -> Callable[[bytes], int]:
        """What sends bytes, here the socket's own ``send``: returns how many, or raises OSError.

        Use it only while nothing is unsent, and pass the rest to ``queue_unsent``. It is for writing to
        thousands of connections in a row: touching this object and calling a Python method cost a
        tenth of such a write, mostly cache misses.
        """
        return self._send

    def queue_unsent(self, rest: bytes | bytearray | memoryview, error: OSError | None) -> None:
        """Queue what a ``push`` did not send; it is sent when the kernel has room.

        ``error``: what the push raised. Anything but a full buffer closes the connection.
        """
        if error is not None and not isinstance(error, _BLOCKED):
            self._force_close(error)
            return
        self._unsent = bytearray(rest)
        self._watch()
        self._pause_above_limit()

    def _pause_above_limit(self) -> None:
        if not self._writing_paused and self.get_write_buffer_size() > self._high:
            self._writing_paused = True
            _call_protocol(self._protocol.pause_writing)

    def _writable(self) -> None:
        unsent = cast("bytearray", self._unsent)
        try:
            # CPython deletes at the start of a bytearray by moving its start, so this copies nothing.
            del unsent[: self._send(unsent)]
        except _BLOCKED:
            return
        except OSError as error:
            self._force_close(error)
            return
        if not unsent:
            # Before ``resume_writing``, in which the protocol may write or push at once.
            self._unsent = None
            self._watch()
        if self._writing_paused and len(unsent) <= self._low:
            self._writing_paused = False
            _call_protocol(self._protocol.resume_writing)
        # Checked again, because ``resume_writing`` may have queued more.
        if self._unsent is None:
            self._all_sent()

    def _all_sent(self) -> None:
        """Nothing is unsent: go on with the close or the end of our half, if requested."""
        if self._closing:
            self._poller.end_soon(self, None)
        elif self._eof_requested:
            self._shutdown_write()

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
            raise ValueError(
                f"high limit {high} must be at least low limit {low}, and both at least 0"
            )
        self._high, self._low = high, low
        self._pause_above_limit()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closing and not self._eof_requested:
            self._eof_requested = True
            if self._unsent is None:
                self._shutdown_write()

    def _shutdown_write(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # the peer has reset the connection
            self._force_close(error)

    # ------------------------------------------------------------ the end

    def is_closing(self) -> bool:
        return self._closing

    def close(self, last: bytes | None = None) -> None:
        """Stop reading, send what is unsent, then ``last``, and close.

        If nothing is unsent, ``last`` and the FIN are sent in one segment.
        """
        # Before ``_closing`` is set: a closing transport sends nothing new.
        if last is not None:
            self.write(last, _MORE_FOLLOWS)
        if self._closing:
            return
        self._closing = True
        if self._unsent is None:
            self._reading = False  # no need to update the poller: ``end`` unwatches the descriptor
            self._all_sent()
        else:
            self.pause_reading()

    def abort(self) -> None:
        """Close now and discard what is unsent. The kernel still delivers what it has buffered."""
        self._force_close(None)

    def reset(self) -> None:
        """Like ``abort``, but also discard the kernel's send buffer, with a TCP reset.

        After a plain close the kernel keeps unsent bytes for as long as the peer's window is closed. A
        reset frees them (SO_LINGER with 0 seconds, socket(7)).
        """
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.abort()

    def _force_close(self, error: Exception | None) -> None:
        if self._closing and self._unsent is None:
            return  # ``end`` is already scheduled
        self._closing = True
        self._reading = False
        self._unsent = None
        # ``end`` runs before the poller asks for new events, so none can arrive in between.
        self._poller.end_soon(self, error)

    def end(self, error: Exception | None) -> None:
        """Called by the poller: report the end to the protocol and close the socket."""
        # Before the close, after which a new connection may get the same descriptor number.
        self._poller.unwatch(self._sock.fileno())
        try:
            self._protocol.connection_lost(error)
        finally:
            self._sock.close()
            self._protocol = asyncio.Protocol()  # breaks the reference cycle with the protocol


def _call_protocol(method: Callable[[], None]) -> None:
    """Call a protocol's pause_writing or resume_writing; an exception must not break the transport."""
    try:
        method()
    except Exception:
        log.exception("bug in a connection's protocol: %s failed", method.__name__)
