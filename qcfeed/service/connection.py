"""One client's connection: handshake, frames in, quotes out, and an end in bounded time.

It is a protocol of asyncio, not a task: what it costs at rest is this object and its transport.
Reader and writer are one object, so neither can outlive the other.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from wsproto.frame_protocol import CloseReason

from qcfeed.config import Config
from qcfeed.core import fanout, frames
from qcfeed.core.compression import Deflater
from qcfeed.core.fates import Backlog, Fate
from qcfeed.core.messages import CloseCode, Error, ServerMessage, Status, come_back, encode
from qcfeed.core.symbol import Symbol
from qcfeed.service import kernel
from qcfeed.service.handshake import NOT_HERE, Accepted, Head, HeadReader, Refusal
from qcfeed.service.hub import Hold, Hub
from qcfeed.service.inbound import Close, Inbound, Ping, Text, Violation

CLOSE_TIMEOUT = 5.0
"""Seconds a peer has to answer a close frame, and a newcomer to finish its request head."""

_COUNTED = frozenset((*CloseCode, CloseReason.NO_STATUS_RCVD))
"""Codes of a peer's close frame that are counted by themselves."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class State(Enum):
    HEAD = auto()
    """The request head is still coming."""
    OPEN = auto()
    CLOSING = auto()
    """Nothing more will be said; by its deadline the socket is gone."""
    CLOSED = auto()
    """The socket is gone, or somebody else's (handed over to HTTP)."""


class Host(Protocol):
    """Who has the connections and decides about them; in the service, the gateway."""

    config: Config
    hub: Hub
    deflater: Deflater
    """Compresses for all who asked for it."""
    http_protocol: Callable[[], asyncio.Protocol] | None
    """Makes a protocol for a connection that is not a WebSocket's; None: there are none such."""

    def now(self) -> float:
        """The loop's clock, in seconds."""

    def made(self, connection: Connection) -> None:
        """It was accepted."""

    def gone(self, connection: Connection) -> None:
        """Its socket is gone, or somebody else's."""

    def admit(self, head: Head) -> Accepted | Refusal:
        """Whether this upgrade may go ahead."""

    def hold(self, connection: Connection, symbol: Symbol) -> None:
        """Subscribe it to the symbol in its path."""

    def request(self, connection: Connection, text: str) -> None:
        """It sent a message."""

    def count_refusal(self, reason: str) -> None:
        """It was refused."""

    def count_close(self, why: str) -> None:
        """It ends, with this close code or for this reason."""


class Connection(asyncio.Protocol):
    """A subscriber's connection; its host decides, this carries out."""

    __slots__ = (
        "_deaf",
        "_head",
        "_host",
        "_inbound",
        "_owed",
        "_replied",
        "_send",
        "_transport",
        "_unsent",
        "backlog",
        "compressed",
        "deadline",
        "fixed",
        "heard_at",
        "held",
        "lost_at",
        "moved_at",
        "opened_at",
        "peer",
        "pinged_at",
        "serial",
        "stalled_since",
        "state",
    )

    def __init__(self, host: Host, serial: int) -> None:
        self._host = host
        self._head: HeadReader | None = HeadReader()
        self._inbound: Inbound | None = None
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._send: Callable[[bytes], None] = _nowhere
        """Takes whole frames: the transport's write, or one that compresses before it."""
        self._deaf = False
        """Whether what still comes is thrown away: it can have no meaning any more."""
        self._owed: dict[str, Status] = {}
        self._replied = 0
        """Bytes of answers to it since it stalled."""
        self.serial = serial
        self.state = State.HEAD
        self.fixed = False
        """Whether its one symbol came with the path (/quotes/{symbol})."""
        self.compressed = False
        """Whether its peer asked for compressed messages."""
        self.held: dict[Symbol, Hold] = {}
        self.backlog = Backlog(Fate(host.config.slow), host.config.max_lag)
        self.lost_at: float | None = None
        """When quotes were last conflated or dropped for it."""
        self.peer = ""
        self.opened_at = self.heard_at = host.now()
        self.deadline: float | None = self.opened_at + CLOSE_TIMEOUT
        self.pinged_at: float | None = None
        self.stalled_since: float | None = None
        self.moved_at = 0.0
        """When, since it stalled, its peer was last seen to take something."""
        self._unsent = 0

    # ------------------------------------------------------------ transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if peer else "?"
        self._host.made(self)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._host.now()
        self.pinged_at = None
        if self.state is State.HEAD:
            self._receive_head(data)
        elif not self._deaf and self.state is not State.CLOSED:
            self._receive_frames(data)

    def pause_writing(self) -> None:
        self.stalled_since = self.moved_at = self._host.now()
        self._replied = 0
        self._unsent = self.unsent

    def resume_writing(self) -> None:
        self.stalled_since = None
        if self.state is State.OPEN:
            owed, self._owed = self._owed, {}
            for status in owed.values():
                self.tell(status)
            lost = self.lost
            fanout.refill(self, self._host.config.send_buffer)
            if self.lost > lost:
                self.lost_at = self._host.now()

    def eof_received(self) -> None:
        if self.state is State.OPEN:
            self._leave("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.state is State.OPEN:
            # The kernel gives up on a peer that does not read as soon as we do (TCP_USER_TIMEOUT).
            slow = isinstance(exc, TimeoutError) and self.stalled_since is not None
            self._leave(str(int(CloseCode.TOO_SLOW)) if slow else "lost")
        self._end_head()
        self._send = _nowhere
        self.state = State.CLOSED
        self._host.gone(self)

    # ------------------------------------------------------------ handshake

    def _receive_head(self, data: bytes) -> None:
        reader = cast("HeadReader", self._head)
        head = reader.feed(data)
        if isinstance(head, Refusal):
            self.refuse(head)
        elif head is not None and head.is_ours:
            self._end_head()
            self._upgrade(head, reader.rest)
        elif head is not None and self._host.http_protocol is not None:
            self._hand_over(self._host.http_protocol(), reader.data)
        elif head is not None:
            self.refuse(NOT_HERE)

    def _end_head(self) -> None:
        if self._head is not None:
            self._head.close()
            self._head = None

    def _upgrade(self, head: Head, rest: bytes) -> None:
        verdict = self._host.admit(head)
        if isinstance(verdict, Refusal):
            self.refuse(verdict)
            return
        self.state = State.OPEN
        self.deadline = None
        if verdict.slow is not None:
            self.backlog.fate = verdict.slow
        early: list[bytes] = []
        self._send = early.append
        if verdict.symbol is not None:
            self.fixed = True
            self._host.hold(self, verdict.symbol)
            self.catch_up()
        self._send = self._transport.write
        if verdict.compress:
            self._compress(self._transport.write, self._host.deflater.pack)
            early = [self._host.deflater.pack(data) for data in early]
        self._transport.write(b"".join((verdict.response, *early)))  # one write, one segment
        if rest and self.state is State.OPEN:
            self._receive_frames(rest)

    def _compress(self, write: Callable[[bytes], None], pack: Callable[[bytes], bytes]) -> None:
        self.compressed = True
        self._send = lambda data: write(pack(data))

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an HTTP error instead of an upgrade."""
        self._host.count_refusal(refusal.code)
        self._transport.write(refusal.response())
        self._leave(None)
        # A full close with bytes unread would be a reset, and that can destroy the answer on its
        # way (RFC 9112 section 9.6).
        self._end_half()

    def _hand_over(self, protocol: asyncio.Protocol, data: bytes) -> None:
        self._end_head()
        self._transport.set_write_buffer_limits()
        self._transport.set_protocol(protocol)
        self.state = State.CLOSED
        self._host.gone(self)
        protocol.connection_made(self._transport)
        protocol.data_received(data)

    # ------------------------------------------------------------ frames in

    def _receive_frames(self, data: bytes) -> None:
        if self._inbound is None:
            limit = self._host.config.max_message_size
            self._inbound = Inbound(limit, compressed=self.compressed)
        for heard in self._inbound.feed(data):
            if isinstance(heard, Close):
                self._receive_close(heard.code)
            elif self.state is not State.OPEN:
                self._deaf |= isinstance(heard, Violation) and heard.final
            elif isinstance(heard, Ping):
                self._reply(frames.frame(frames.Opcode.PONG, heard.payload))
            elif isinstance(heard, Text):
                self._host.request(self, heard.text)
            else:
                self.close(heard.code, heard.reason)
                self._deaf |= heard.final

    def _receive_close(self, code: int) -> None:
        if self.state is State.OPEN:
            told = 1000 if code == CloseReason.NO_STATUS_RCVD else code
            if self.writable:  # the close frame and the end of the connection as one segment
                kernel.cork(self._transport.get_extra_info("socket"))
            self._send(frames.close(told))
            # A peer may make up three thousand codes; each would be a metric's label for ever.
            self._leave(str(int(code)) if code in _COUNTED else "other")
        if self.stalled_since is None:
            self._transport.close()
        else:  # what a full close leaves to the kernel, no reset of ours would free any more
            self._end_half()

    def _end_half(self) -> None:
        """End our half, and wait a bounded time for the peer to end its own."""
        self._deaf = True
        self._transport.write_eof()

    # ------------------------------------------------------------ out

    @property
    def connected(self) -> bool:
        """Whether it is still there to be written to, now or later."""
        return self.state is State.OPEN

    @property
    def writable(self) -> bool:
        """Whether all that was written before has left for the kernel."""
        return self.stalled_since is None and self.state is State.OPEN

    @property
    def lost(self) -> int:
        """Quotes that it did not get one by one."""
        return self.backlog.conflated + self.backlog.dropped

    @property
    def unsent(self) -> int:
        """Bytes written to it that have not left for the kernel."""
        return self._transport.get_write_buffer_size()

    @property
    def kernel_queue(self) -> int | None:
        """Bytes that the kernel keeps for it until its peer has taken them; None where it does not say."""
        return kernel.send_queue(self._transport.get_extra_info("socket"))

    def look(self, now: float) -> None:
        """While it is stalled: note whether its peer has taken anything since the last look."""
        unsent = self.unsent + (self.kernel_queue or 0)
        if unsent < self._unsent:
            self.moved_at = now
        self._unsent = unsent

    def write(self, data: bytes) -> None:
        """Send whole frames."""
        self._send(data)

    def catch_up(self) -> None:
        """Send what it has not had yet of all it holds, if it takes anything."""
        if self.writable:
            fanout.refill(self, self._host.config.send_buffer)

    def send(self, message: ServerMessage) -> None:
        """Send one message that was asked for."""
        self._reply(frames.text(encode(message)))

    def tell(self, status: Status) -> None:
        """Send a status; while the peer does not read, only the latest one a symbol is kept."""
        if self.writable:
            self.write(frames.text(encode(status)))
        elif self.state is State.OPEN:
            self._owed[status.symbol] = status

    def overtaken(self) -> None:
        """Too far behind, and its fate is to be disconnected."""
        self.close(
            CloseCode.TOO_SLOW,
            f"{self.backlog.behind} quotes unread: read faster, hold less, or connect with ?slow=conflate",
        )

    def evict(self, subscriber: Hold, code: CloseCode, reason: str) -> None:
        """The feed let go of ``subscriber``: a connection that has nothing left is closed."""
        self.held.pop(subscriber.symbol, None)
        if self.state is not State.OPEN:
            return
        if self.fixed or not self.held:
            self.close(code, reason)
        else:
            self.send(
                Error(code.name.lower(), reason, subscriber.symbol, retryable=come_back(code))
            )

    def ping(self) -> None:
        """Ask whether the peer lives; any data from it is an answer."""
        self.pinged_at = self._host.now()
        self.write(frames.frame(frames.Opcode.PING, b""))

    def close(self, code: CloseCode, reason: str = "", *, within: float | None = None) -> None:
        """Say why, give up all holds, and wait ``within`` seconds for the peer's close frame."""
        if self.state is not State.OPEN:
            return
        self._send(frames.close(code, reason))
        self._leave(str(int(code)), within)

    def abort(self, why: str) -> None:
        """Drop the connection now, and with it what the kernel still keeps for it.

        A socket that is merely closed keeps its unsent bytes for as long as the peer's window is
        shut; a reset frees them (SO_LINGER with 0 seconds, socket(7)).
        """
        if self.state is State.OPEN:
            self._leave(why)
        if self.state is not State.CLOSED:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    def _reply(self, data: bytes) -> None:
        """Answers to a peer that asks and does not read are bounded by themselves: quotes that wait
        for one that is slow are its fate's matter, and no reason to refuse it a pong.
        """
        if self.stalled_since is not None:
            self._replied += len(data)
            if self._replied > self._host.config.send_buffer:
                self.abort(str(int(CloseCode.TOO_SLOW)))
                return
        self._send(data)

    def _leave(self, why: str | None, within: float | None = None) -> None:
        # Holds first: who looks from another thread must not take them for orphans.
        held, self.held = self.held, {}
        for subscriber in held.values():
            self._host.hub.unsubscribe(subscriber)
        self.state = State.CLOSING
        self.deadline = self._host.now() + (CLOSE_TIMEOUT if within is None else within)
        if why is not None:
            self._host.count_close(why)


def _nowhere(data: bytes) -> None:
    """Before the upgrade, and after the end, nothing is sent."""
