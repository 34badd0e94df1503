"""A WebSocket connection: receives requests, sends quotes, and closes within a bounded time.

It is an asyncio protocol, not a task: an idle connection costs only this object and its transport.
Reading and writing are one object, so neither can outlive the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

from wsproto.frame_protocol import CloseReason

from qcfeed.access.client_limits import ClientUsage
from qcfeed.access.grants import Identity
from qcfeed.access.request_throttle import RequestThrottle
from qcfeed.feed import flush
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import frames
from qcfeed.model.messages import CloseCode, Error, ServerMessage, encode, should_reconnect
from qcfeed.model.symbol import Symbol
from qcfeed.net import kernel_buffers
from qcfeed.net.tls_context import common_name
from qcfeed.ws.handshake import Accepted
from qcfeed.ws.hosts import ConnectionHost
from qcfeed.ws.inbound import (
    CloseFrame,
    Fragment,
    Inbound,
    InboundEvent,
    PingFrame,
    PongFrame,
    TextMessage,
    Violation,
    parse_bare_frame,
)

if TYPE_CHECKING:
    from qcfeed.ws.pending import PendingConnection

CLOSE_TIMEOUT = 5.0
"""Seconds a peer has to answer a close frame."""

_COUNTED = frozenset((*CloseCode, CloseReason.NO_STATUS_RCVD))
"""Close codes from peers that have a metric label of their own; others are counted as ``other``."""


class ConnectionState(Enum):
    """The state of a connection."""

    OPEN = auto()
    CLOSING = auto()
    """Nothing more is sent; the socket is closed by the deadline at the latest."""
    CLOSED = auto()
    """The socket is closed."""


class WebSocketConnection(asyncio.Protocol):
    """One WebSocket connection, a ``Consumer`` of feeds. Its host makes the decisions."""

    __slots__ = (
        "_held_input",
        "_host",
        "_ignore_input",
        "_inbound",
        "_reply_bytes",
        "_unsent",
        "backlog",
        "clients",
        "compressed",
        "deadline",
        "last_received_at",
        "missed_at",
        "opened_at",
        "peer",
        "pinged_at",
        "progress_at",
        "push",
        "serial",
        "session",
        "single_symbol",
        "stalled_since",
        "state",
        "subscribers",
        "throttle",
        "transport",
        "writable",
        "write",
    )

    def __init__(
        self, host: ConnectionHost, pending: PendingConnection, accepted: Accepted
    ) -> None:
        """Take over the transport of ``pending``."""
        transport = pending.transport
        self._host = host
        self._inbound: Inbound | None = None
        self.transport = transport
        self.write: Callable[[bytes], None] = transport.write
        """Send whole frames: the transport's method, or a wrapper that compresses."""
        self.push: Callable[[bytes], int] = transport.push
        """Send whole frames straight to the kernel; returns how many bytes it accepted."""
        self.writable = True
        """Whether the connection is open and nothing written before is still unsent."""
        self._ignore_input = False
        """Whether further input is discarded, because the client has closed or broken the protocol."""
        self._held_input: asyncio.TimerHandle | None = None
        """Due when the input that is held back is handled; None if none is."""
        self._reply_bytes = 0
        """Bytes of replies queued since the connection stalled."""
        self.serial = pending.serial
        self.throttle: RequestThrottle | None = None
        """Limits its requests; None until its first one."""
        self.state = ConnectionState.OPEN
        self.single_symbol = accepted.symbol is not None
        """Whether this is a /quotes/{symbol} connection, whose symbol cannot change."""
        self.compressed = accepted.compress
        """Whether compression was negotiated."""
        self.subscribers: dict[Symbol, Subscriber] = {}
        self.backlog = Backlog(accepted.slow or host.policy, host.config.max_lag)
        self.missed_at: float | None = None
        """Loop time at which quotes were last conflated or dropped for this connection."""
        self.peer = pending.peer
        self.clients: tuple[ClientUsage, ...] = ()
        """The clients that this connection counts towards: its address, then its API key."""
        self.session = accepted.session
        """Who it is authenticated as; None in a service without authentication."""
        self.opened_at = self.last_received_at = host.now()
        self.deadline: float | None = None
        self.pinged_at: float | None = None
        self.stalled_since: float | None = None
        self.progress_at = 0.0
        """Loop time at which a stalled peer was last seen to receive something."""
        self._unsent = 0

    def start(self, accepted: Accepted) -> None:
        """Answer the upgrade and send the latest quote in the same write, so in one TCP segment."""
        # With a limit of 0 ``pause_writing`` is called as soon as the kernel does not accept everything.
        self.transport.set_write_buffer_limits(high=0)
        early = [accepted.response]
        pack = self._host.deflater.pack if self.compressed else None
        # Until the answer is sent, whatever is written is collected behind it.
        self.write = early.append if pack is None else lambda data: early.append(pack(data))
        if accepted.symbol is not None:
            subscriber = self._host.subscribe(self, accepted.symbol)
            if subscriber.log is not None and subscriber.lag:
                self.write(subscriber.log.read(subscriber))
        self.write = write = self.transport.write
        if pack is not None:
            self.write = lambda data: write(pack(data))
            # A push to the socket itself would bypass the compression.
            self.push = _write_all(self.write)
        write(b"".join(early))

    def queue_unsent(self, rest: bytes, error: OSError | None) -> None:
        """Queue what a ``push`` did not send."""
        self.transport.queue_unsent(rest, error)

    # ------------------------------------------------------------ transport

    def data_received(self, data: bytes) -> None:
        self.last_received_at = self._host.now()
        # Any data proves that the peer is there; a pong may wait behind a large message.
        self.pinged_at = None
        if self._ignore_input or self.state is ConnectionState.CLOSED:
            return
        if self._inbound is None:
            if (bare := parse_bare_frame(data)) is not None:
                self._handle(bare)
                return
            self._inbound = self.new_inbound()
        self._handle_input(data)

    def _handle_input(self, data: bytes) -> None:
        """Parse and handle ``data``, frame by frame, until the input is paused."""
        assert self._inbound is not None  # noqa: S101 - for mypy
        self._inbound.receive(data)
        events = self._inbound.events()
        while not self._must_wait() and (event := next(events, None)) is not None:
            self._handle(event)

    def _must_wait(self) -> bool:
        """Whether the input is paused; pauses it if all requests together take too much time."""
        if self._held_input is None and (seconds := self._host.busy_for()):
            self.pause_input(seconds)
        return self._held_input is not None

    def pause_input(self, seconds: float) -> None:
        """Read nothing from the client for so long; frames that were read wait unparsed."""
        if self._held_input is None:
            self.transport.pause_reading()
            loop = asyncio.get_running_loop()
            self._held_input = loop.call_later(seconds, self._resume_input)

    def _resume_input(self) -> None:
        self._held_input = None
        self.transport.resume_reading()
        self._handle_input(b"")

    def new_inbound(self) -> Inbound:
        """The parser of the client's frames."""
        return Inbound(self._host.config.max_message_size, compressed=self.compressed)

    def pause_writing(self) -> None:
        self.writable = False
        self.stalled_since = self.progress_at = self._host.now()
        self._reply_bytes = 0
        self._unsent = self.unsent

    def resume_writing(self) -> None:
        self.stalled_since = None
        if self.state is ConnectionState.OPEN:
            self.writable = True
            missed = self.missed_quotes
            flush.send_backlog(self, self._host.config.send_buffer)
            if self.missed_quotes > missed:
                self.missed_at = self._host.now()
            self._host.on_caught_up(self)

    def eof_received(self) -> None:
        # Returns None, so the transport closes our half too: a peer that sends FIN without a close frame has left.
        if self.state is ConnectionState.OPEN:
            self._begin_close("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.state is ConnectionState.OPEN:
            # TCP_USER_TIMEOUT is the stall timeout too, so the kernel may drop a stalled peer first.
            slow = isinstance(exc, TimeoutError) and self.stalled_since is not None
            self._begin_close(str(int(CloseCode.TOO_SLOW)) if slow else "lost")
        # The batch that is being sent may still push to this connection; ``len`` claims that everything was sent.
        self.write, self.push = _discard, len
        if self._held_input is not None:
            self._held_input.cancel()
        self.state = ConnectionState.CLOSED
        self._host.on_closed(self)

    # ------------------------------------------------------------ frames in

    def _handle(self, event: InboundEvent) -> None:
        if isinstance(event, CloseFrame):
            self._receive_close(event.code)
        elif self.state is not ConnectionState.OPEN:
            # After our close frame only the peer's close frame matters, and a broken stream cannot
            # deliver one.
            self._ignore_input |= isinstance(event, Violation) and event.final
        elif isinstance(event, (PongFrame, Fragment)):
            self._host.on_frame(self)
        elif isinstance(event, PingFrame):
            self._reply(frames.frame(frames.Opcode.PONG, event.payload))
            self._host.on_frame(self)
        elif isinstance(event, TextMessage):
            self._host.on_request(self, event.text)
        elif isinstance(event, Violation):
            self._fail(event)

    def _fail(self, violation: Violation) -> None:
        self.close(violation.code, violation.reason)
        if violation.final:
            # The answer to our close frame could not be read, so the peer need not send one
            # (RFC 6455 section 7.1.7). A full close with unread input would destroy the frame.
            self._ignore_input = True
            self.transport.write_eof()

    def _receive_close(self, code: int) -> None:
        answer = None
        if self.state is ConnectionState.OPEN:
            # 1005 stands for a close frame without a code; it must not be sent (RFC 6455 section 7.4.1).
            answer = frames.close(1000 if code == CloseReason.NO_STATUS_RCVD else code)
            # A peer may send any of thousands of codes, and each would become a metric label for good.
            self._begin_close(str(int(code)) if code in _COUNTED else "other")
        if self.stalled_since is None:
            self.transport.close(answer)  # close frame and FIN are sent in one segment
            return
        if answer is not None:
            self.write(answer)
        # After a full close a later reset could no longer free the kernel's send buffer. So close only
        # our half, and wait until the deadline for the peer to close its own.
        self._ignore_input = True
        self.transport.write_eof()

    # ------------------------------------------------------------ out

    @property
    def identity(self) -> Identity | None:
        """The authenticated client; None before it authenticates, and in a service without authentication."""
        return None if self.session is None else self.session.identity

    @property
    def name(self) -> str | None:
        """The name of the client's key, token or certificate; None if it has none."""
        if (identity := self.identity) is not None:
            return identity.name
        certificate = self.transport.get_extra_info("peercert")
        return common_name(certificate) if certificate else None

    @property
    def client(self) -> str:
        """The client that its address stands for in the limits per client (client_address.py)."""
        return self.clients[0].name if self.clients else ""

    @property
    def connected(self) -> bool:
        """Whether the connection is open, writable or stalled."""
        return self.state is ConnectionState.OPEN

    @property
    def missed_quotes(self) -> int:
        """Quotes that were conflated or dropped for this connection."""
        return self.backlog.conflated + self.backlog.dropped

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not accepted yet."""
        return self.transport.get_write_buffer_size()

    @property
    def kernel_queue(self) -> int | None:
        """Bytes in the kernel that the peer has not acknowledged; None if the kernel does not say."""
        return kernel_buffers.send_queue(self.transport.get_extra_info("socket"))

    def check_progress(self, now: float) -> None:
        """For a stalled connection: note whether the peer has received anything since the last check."""
        # Both buffers: bytes that only move from ours into the kernel's have not reached the peer.
        unsent = self.unsent + (self.kernel_queue or 0)
        if unsent < self._unsent:
            self.progress_at = now
        self._unsent = unsent

    def catch_up(self) -> None:
        """Send the unread quotes of all symbols, if the connection is writable."""
        if self.writable:
            flush.send_backlog(self, self._host.config.send_buffer)

    def send(self, message: ServerMessage) -> None:
        """Send a reply to a request."""
        self._reply(frames.text(encode(message)))

    def disconnect_slow(self) -> None:
        """Close with 4408: the backlog is over its limit and the policy is to disconnect."""
        self.close(
            CloseCode.TOO_SLOW,
            f"{self.backlog.behind} quotes unread: read faster, subscribe to fewer symbols,"
            " or connect with ?slow=conflate",
        )

    def evict(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
        """The feed has ended ``subscriber``: report it, or close if no subscriber is left."""
        if self.subscribers.pop(subscriber.symbol, None) is not None:
            self._host.unsubscribe(self, subscriber)
        if self.state is not ConnectionState.OPEN:
            return
        if self.single_symbol or not self.subscribers:
            self.close(code, reason)
        else:
            self.send(
                Error(
                    code.name.lower(), reason, subscriber.symbol, retryable=should_reconnect(code)
                )
            )

    def ping(self) -> None:
        """Send a ping; any data from the peer counts as the answer."""
        self.pinged_at = self._host.now()
        self.write(frames.frame(frames.Opcode.PING, b""))

    def close(self, code: CloseCode, reason: str = "", *, within: float | None = None) -> None:
        """Send a close frame and unsubscribe; the peer has ``within`` seconds to answer it."""
        if self.state is not ConnectionState.OPEN:
            return
        self.write(frames.close(code, reason))
        self._begin_close(str(int(code)), within)

    def abort(self, why: str) -> None:
        """Close the connection now with a reset, which also frees the kernel's send buffer."""
        # First, so that ``connection_lost``, which follows, counts no other reason.
        if self.state is ConnectionState.OPEN:
            self._begin_close(why)
        if self.state is not ConnectionState.CLOSED:
            self.transport.reset()

    def _reply(self, data: bytes) -> None:
        """Send a reply; abort a client that keeps sending requests but does not read.

        Unread quotes do not count towards this limit: the slow-consumer policy bounds them, and a slow
        client must still get its pongs.
        """
        if self.stalled_since is not None:
            self._reply_bytes += len(data)
            if self._reply_bytes > self._host.config.send_buffer:
                self.abort(str(int(CloseCode.TOO_SLOW)))
                return
        self.write(data)

    def _begin_close(self, why: str | None, within: float | None = None) -> None:
        # Unsubscribe before the state changes: otherwise another thread could see subscribers of a
        # closed connection and report them as orphans.
        subscribers, self.subscribers = self.subscribers, {}
        for subscriber in subscribers.values():
            self._host.unsubscribe(self, subscriber)
        self.state = ConnectionState.CLOSING
        self.writable = False
        self.deadline = self._host.now() + (CLOSE_TIMEOUT if within is None else within)
        if why is not None:
            self._host.count_close(why)


def _write_all(write: Callable[[bytes], None]) -> Callable[[bytes], int]:
    """A ``push`` that writes through ``write``, and so always accepts everything."""

    def push(data: bytes) -> int:
        write(data)
        return len(data)

    return push


def _discard(data: bytes) -> None:
    """The ``write`` of a closed connection: discards the data."""
