"""A transport that encrypts with TLS, on the socket itself (docs/adr/0036).

OpenSSL reads from and writes to the socket, without buffers of ours in between. So a write of thousands of
connections in a row stays one C call and one system call per connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Protocol, cast, runtime_checkable

from qcfeed.net.handshakes import HandshakeQueue
from qcfeed.net.poller import READ, WRITE, Poller
from qcfeed.net.transport import Transport

log = logging.getLogger("qcfeed.transport")

MAX_RECORD = 16_384
"""Bytes of the largest TLS record (RFC 8446 section 5.1)."""
_HANDSHAKE_RECORD = b"\x16"
"""The first byte that a TLS client sends: the type of a handshake record (RFC 8446 section 5.1)."""
_MAX_DISCARD = 65_536
"""Bytes per read of input that is discarded."""


class HandshakeFailure(Enum):
    """Why a TLS handshake failed."""

    NOT_TLS = auto()
    """The peer sent something else, most likely plain HTTP."""
    FAILED = auto()
    """The peer and we could not agree, or one of us did not trust the other."""


@runtime_checkable
class HandshakeObserver(Protocol):
    """A protocol that wants to know how handshakes end."""

    def handshake_completed(self) -> None:
        """The handshake is complete; data follows."""

    def handshake_failed(self, failure: HandshakeFailure, why: str) -> bytes | None:
        """The handshake failed. Returns an answer to send in plain text, or None."""


class _Stage(Enum):
    HELLO = auto()
    """Nothing has arrived; there is no TLS state yet, so a silent connection costs nothing for it."""
    HANDSHAKE = auto()
    OPEN = auto()
    ENDED = auto()
    """We have ended our half, or the handshake failed: what arrives is discarded until the peer closes."""


class TlsTransport(Transport):
    """One accepted TLS connection.

    ``connection_made`` is called before the handshake, so that the protocol's own deadline applies to it;
    data that is written before it completes is queued. After ``write_eof`` further input is discarded.
    """

    __slots__ = ("_context", "_handshaking", "_queue", "_stage", "queued")

    def __init__(
        self,
        poller: Poller,
        sock: socket.SocketType,
        protocol: asyncio.Protocol,
        context: Callable[[], ssl.SSLContext],
        queue: HandshakeQueue,
    ) -> None:
        """``context``: returns the context for a handshake that begins now."""
        self._context = context
        self._queue = queue
        self.queued = False
        self._stage = _Stage.HELLO
        self._handshaking = True
        super().__init__(poller, sock, protocol)
        self._wait_in_queue()  # the protocol may have paused reading, which does not concern handshakes

    def _first_send(self, sock: socket.SocketType) -> Callable[..., int]:  # noqa: ARG002 -- the base's
        return _not_ready

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Also ``ssl_object``, ``sslcontext``, ``peercert`` and ``cipher``, once the handshake is complete."""
        if isinstance(self._sock, ssl.SSLSocket) and self._stage is _Stage.OPEN:
            if name == "ssl_object":
                return self._sock
            if name == "sslcontext":
                return self._sock.context
            if name == "peercert":
                return self._sock.getpeercert()
            if name == "cipher":
                return self._sock.cipher()
        return super().get_extra_info(name, default)

    # ------------------------------------------------------------ the handshake

    def _watch(self) -> None:
        # During the handshake OpenSSL decides what is waited for, not the protocol.
        if not self._handshaking:
            super()._watch()

    def _poll_for(self, events: int) -> None:
        self._poller.watch(self._sock.fileno(), events, self)

    def ready(self, events: int) -> None:
        if self._handshaking:
            self._wait_in_queue()
        else:
            super().ready(events)

    def _wait_in_queue(self) -> None:
        if not self.queued and not self._ended:
            self.queued = True
            self._poll_for(0)  # what has arrived would be reported again in every turn
            self._queue.add(self)

    @property
    def _ended(self) -> bool:
        """Whether the connection's end is scheduled."""
        return self._closing and self._unsent is None

    def continue_handshake(self) -> None:
        """Called from the queue: do the next step of the handshake."""
        self.queued = False
        if self._ended:
            return
        try:
            if self._stage is _Stage.HELLO and not self._start():
                return
            cast("ssl.SSLSocket", self._sock).do_handshake()
        except ssl.SSLWantReadError:
            self._poll_for(READ)
        except ssl.SSLWantWriteError:
            self._poll_for(WRITE)
        except OSError as error:
            self._fail(HandshakeFailure.FAILED, _explain(error))
        else:
            self._open()

    def _start(self) -> bool:
        """Create the TLS state if a TLS client has sent its first byte. False: it has not."""
        try:
            # Left in the socket, where OpenSSL reads it again.
            first = self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._poll_for(READ)
            return False
        except OSError as error:
            self._force_close(error)
            return False
        if not first:
            self._force_close(None)
            return False
        if first != _HANDSHAKE_RECORD:
            self._fail(HandshakeFailure.NOT_TLS, "the client does not use TLS")
            return False
        self._wrap()
        self._stage = _Stage.HANDSHAKE
        return True

    def _wrap(self) -> None:
        """Replace the socket by one with TLS on the same descriptor. Raises OSError."""
        raw = self._sock
        # If wrapping fails, the descriptor is closed by then and must not be watched.
        self._poller.unwatch(raw.fileno())
        plain = socket.socket(raw.family, raw.type, raw.proto, fileno=raw.detach())
        plain.setblocking(False)
        try:
            self._sock = self._context().wrap_socket(
                plain, server_side=True, do_handshake_on_connect=False
            )
        except BaseException:
            plain.close()
            raise

    def _open(self) -> None:
        self._stage, self._handshaking = _Stage.OPEN, False
        self._send = _record_writer(cast("ssl.SSLSocket", self._sock))
        self._watch()
        if isinstance(self._protocol, HandshakeObserver):
            self._protocol.handshake_completed()
        if self._unsent is not None:
            self._writable()
        elif self._reading:
            # The first request often arrives together with the end of the handshake.
            self._readable()

    def _fail(self, failure: HandshakeFailure, why: str) -> None:
        """Send the protocol's answer in plain text, if it has one, and wait for the peer to close."""
        protocol = self._protocol
        answer = (
            protocol.handshake_failed(failure, why)
            if isinstance(protocol, HandshakeObserver)
            else None
        )
        self._stage, self._handshaking = _Stage.ENDED, False
        if self._closing:  # it was open only to send what was queued
            self._force_close(None)
            return
        self._unsent = None
        try:
            if answer is not None:
                socket.SocketType.send(self._sock, answer)
            # OpenSSL has sent an alert. A close with unread input would reset the connection, and the
            # peer would never see the alert or the answer.
            socket.SocketType.shutdown(self._sock, socket.SHUT_WR)
        except OSError as error:
            self._force_close(error)
            return
        self._reading = True
        self._watch()

    # ------------------------------------------------------------ reading

    def _readable(self) -> None:
        if self._stage is _Stage.OPEN:
            super()._readable()
        elif self._handshaking:
            self._wait_in_queue()
        else:
            self._discard()

    def _discard(self) -> None:
        try:
            if socket.SocketType.recv(self._sock, _MAX_DISCARD):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._force_close(error)
            return
        self.close()

    # ------------------------------------------------------------ writing

    def _writable(self) -> None:
        if self._unsent:
            super()._writable()
            return
        # Only the end of our half was still unsent.
        self._unsent = None
        self._watch()
        self._all_sent()

    def _all_sent(self) -> None:
        if self._closing and self._stage is _Stage.OPEN and not self._send_close_notify():
            return
        super()._all_sent()

    def _shutdown_write(self) -> None:
        if self._stage is _Stage.OPEN and self._send_close_notify():
            self._stage = _Stage.ENDED
            with contextlib.suppress(OSError):  # a reset by the peer is reported by the next read
                # Not SSLSocket's method, which would forget the TLS state first.
                socket.SocketType.shutdown(self._sock, socket.SHUT_WR)
            self._watch()

    def _send_close_notify(self) -> bool:
        """Send close_notify: nothing more follows (RFC 8446 section 6.1). False: the kernel's buffer is full."""
        try:
            cast("ssl.SSLSocket", self._sock).unwrap()
        except ssl.SSLWantWriteError:
            # Empty, but not None: continue when the socket can be written to.
            self._unsent = bytearray()
            self._watch()
            return False
        except (OSError, ValueError):
            # SSLWantReadError: it is sent, and the peer's own close_notify need not be waited for.
            # Other errors: the peer is gone already.
            pass
        return True


def _explain(error: OSError) -> str:
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return "the client closed the connection"
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return reason or str(error)


def _not_ready(_data: bytes, _flags: int = 0) -> int:
    """The ``send`` before the handshake is complete."""
    raise ssl.SSLWantWriteError


def _record_writer(sock: ssl.SSLSocket) -> Callable[..., int]:
    """A ``send`` for a TLS socket: returns how many bytes were sent, or raises SSLWantWriteError.

    OpenSSL accepts a write of several records as a whole or not at all, and after a failure demands the same
    bytes again, at least as many. Written record by record, a slow peer's progress is visible, and whatever is
    queued may be retried with more behind it.
    """
    # The C method: SSLSocket.send costs 0.2 us more per write. It is private, so it may be missing.
    write: Callable[..., int] = getattr(getattr(sock, "_sslobj", None), "write", sock.send)

    def send(data: bytes, _flags: int = 0) -> int:
        return write(data) if len(data) <= MAX_RECORD else _write_records(write, data)

    return send


def _write_records(write: Callable[..., int], data: bytes | bytearray | memoryview) -> int:
    sent = 0
    with memoryview(data) as view:
        while sent < len(view):
            with view[sent : sent + MAX_RECORD] as record:
                try:
                    sent += write(record)
                except ssl.SSLWantWriteError:
                    if not sent:
                        raise
                    break
    return sent
