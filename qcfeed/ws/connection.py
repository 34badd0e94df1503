"""One subscriber's connection: frames in, quotes out, and an end in bounded time.

It is a protocol of asyncio, not a task: what it costs at rest is this object and its transport.
Reader and writer are one object, so neither can outlive the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from wsproto.frame_protocol import CloseReason

from qcfeed.config import Config
from qcfeed.feed import flush
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import frames
from qcfeed.model.messages import CloseCode, Error, ServerMessage, Status, come_back, encode
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from qcfeed.net import kernel_buffers
from qcfeed.net.transport import Transport
from qcfeed.ws.compression import Deflater
from qcfeed.ws.handshake import Accepted
from qcfeed.ws.inbound import Close, Heard, Inbound, Ping, Text, Violation, only

CLOSE_TIMEOUT = 5.0
"""Seconds a peer has to answer a close frame."""

_COUNTED = frozenset((*CloseCode, CloseReason.NO_STATUS_RCVD))
"""Codes of a peer's close frame that are counted by themselves."""


class State(Enum):
    OPEN = auto()
    CLOSING = auto()
    """Nothing more will be said; by its deadline the socket is gone."""
    CLOSED = auto()
    """The socket is gone."""


class Host(Protocol):
    """Who has the connections and decides about them; in the service, the gateway."""

    config: Config
    policy: SlowConsumerPolicy
    """Of one that named none."""
    deflater: Deflater
    """Compresses for all who asked for it."""
    now: Callable[[], float]
    """The loop's clock, in seconds."""

    def gone(self, connection: Connection) -> None:
        """Its socket is gone."""

    def subscribe(self, connection: Connection, symbol: Symbol) -> Subscriber:
        """Subscribe ``connection`` to ``symbol``. Raises UnknownSymbolError."""

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """End one subscription. Ending it twice is ending it once."""

    def request(self, connection: Connection, text: str) -> None:
        """It sent a message."""

    def caught_up(self, connection: Connection) -> None:
        """It has been given all that waited for it, or as much as it takes."""

    def count_close(self, why: str) -> None:
        """It ends, with this close code or for this reason."""


class Connection(asyncio.Protocol):
    """A subscriber's connection; its host decides, this carries out."""

    __slots__ = (
        "_deaf",
        "_host",
        "_inbound",
        "_owed",
        "_replied",
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
        "push",
        "serial",
        "stalled_since",
        "state",
        "transport",
        "writable",
        "write",
    )

    def __init__(
        self, host: Host, serial: int, peer: str, transport: Transport, accepted: Accepted
    ) -> None:
        self._host = host
        self._inbound: Inbound | None = None
        self.transport = transport
        self.write: Callable[[bytes], None] = transport.write
        """Send whole frames: the transport's own, or one that compresses before it."""
        self.push: Callable[[bytes], int] = transport.push
        """Give whole frames to the kernel, past the transport: how many bytes it took."""
        self.writable = True
        """Whether it is open, and all that was written before has left for the kernel."""
        self._deaf = False
        """Whether what still comes is thrown away: it can have no meaning any more."""
        self._owed: dict[str, Status] = {}
        self._replied = 0
        """Bytes of answers to it since it stalled."""
        self.serial = serial
        self.state = State.OPEN
        self.fixed = accepted.symbol is not None
        """Whether its one symbol came with the path (/quotes/{symbol})."""
        self.compressed = accepted.compress
        """Whether its peer asked for compressed messages."""
        self.held: dict[Symbol, Subscriber] = {}
        self.backlog = Backlog(accepted.slow or host.policy, host.config.max_lag)
        self.lost_at: float | None = None
        """When quotes were last conflated or dropped for it."""
        self.peer = peer
        self.opened_at = self.heard_at = host.now()
        self.deadline: float | None = None
        self.pinged_at: float | None = None
        self.stalled_since: float | None = None
        self.moved_at = 0.0
        """When, since it stalled, its peer was last seen to take something."""
        self._unsent = 0

    def start(self, accepted: Accepted) -> None:
        """Answer the upgrade, with what there is to read already in the same write, and so segment."""
        self.transport.set_write_buffer_limits(high=0)
        early = [accepted.response]
        pack = self._host.deflater.pack if self.compressed else None
        self.write = early.append if pack is None else lambda data: early.append(pack(data))
        if accepted.symbol is not None:
            hold = self._host.subscribe(self, accepted.symbol)
            if hold.log is not None and hold.lag:
                self.write(hold.log.read(hold))
        self.write = write = self.transport.write
        if pack is not None:
            self.write = lambda data: write(pack(data))
            self.push = _all(self.write)
        write(b"".join(early))

    def keep(self, rest: bytes, error: OSError | None) -> None:
        """What a push did not take."""
        self.transport.keep(rest, error)

    # ------------------------------------------------------------ transport

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._host.now()
        self.pinged_at = None
        if self._deaf or self.state is State.CLOSED:
            return
        if self._inbound is None:
            if (alone := only(data)) is not None:
                self._hear(alone)
                return
            limit = self._host.config.max_message_size
            self._inbound = Inbound(limit, compressed=self.compressed)
        for heard in self._inbound.feed(data):
            self._hear(heard)

    def pause_writing(self) -> None:
        self.writable = False
        self.stalled_since = self.moved_at = self._host.now()
        self._replied = 0
        self._unsent = self.unsent

    def resume_writing(self) -> None:
        self.stalled_since = None
        if self.state is State.OPEN:
            self.writable = True
            owed, self._owed = self._owed, {}
            for status in owed.values():
                self.tell(status)
            lost = self.lost
            flush.refill(self, self._host.config.send_buffer)
            if self.lost > lost:
                self.lost_at = self._host.now()
            self._host.caught_up(self)

    def eof_received(self) -> None:
        if self.state is State.OPEN:
            self._leave("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.state is State.OPEN:
            # The kernel gives up on a peer that does not read as soon as we do (TCP_USER_TIMEOUT).
            slow = isinstance(exc, TimeoutError) and self.stalled_since is not None
            self._leave(str(int(CloseCode.TOO_SLOW)) if slow else "lost")
        self.write, self.push = _nowhere, len
        self.state = State.CLOSED
        self._host.gone(self)

    # ------------------------------------------------------------ frames in

    def _hear(self, heard: Heard) -> None:
        if isinstance(heard, Close):
            self._receive_close(heard.code)
        elif self.state is not State.OPEN:
            self._deaf |= isinstance(heard, Violation) and heard.final
        elif isinstance(heard, Ping):
            self._reply(frames.frame(frames.Opcode.PONG, heard.payload))
        elif isinstance(heard, Text):
            self._host.request(self, heard.text)
        elif isinstance(heard, Violation):
            self.close(heard.code, heard.reason)
            self._deaf |= heard.final

    def _receive_close(self, code: int) -> None:
        answer = None
        if self.state is State.OPEN:
            answer = frames.close(1000 if code == CloseReason.NO_STATUS_RCVD else code)
            # A peer may make up three thousand codes; each would be a metric's label for ever.
            self._leave(str(int(code)) if code in _COUNTED else "other")
        if self.stalled_since is None:
            self.transport.close(answer)  # which leave as one segment
            return
        if answer is not None:
            self.write(answer)
        # What a full close leaves to the kernel, no reset of ours would free any more: we end our
        # half, and wait a bounded time for the peer to end its own.
        self._deaf = True
        self.transport.write_eof()

    # ------------------------------------------------------------ out

    @property
    def connected(self) -> bool:
        """Whether it is still there to be written to, now or later."""
        return self.state is State.OPEN

    @property
    def lost(self) -> int:
        """Quotes that it did not get one by one."""
        return self.backlog.conflated + self.backlog.dropped

    @property
    def unsent(self) -> int:
        """Bytes written to it that have not left for the kernel."""
        return self.transport.get_write_buffer_size()

    @property
    def kernel_queue(self) -> int | None:
        """Bytes that the kernel keeps for it until its peer has taken them; None where it does not say."""
        return kernel_buffers.send_queue(self.transport.get_extra_info("socket"))

    def look(self, now: float) -> None:
        """While it is stalled: note whether its peer has taken anything since the last look."""
        unsent = self.unsent + (self.kernel_queue or 0)
        if unsent < self._unsent:
            self.moved_at = now
        self._unsent = unsent

    def catch_up(self) -> None:
        """Send what it has not had yet of all it holds, if it takes anything."""
        if self.writable:
            flush.refill(self, self._host.config.send_buffer)

    def send(self, message: ServerMessage) -> None:
        """Send one message that was asked for."""
        self._reply(frames.text(encode(message)))

    def tell(self, status: Status) -> None:
        """Send a status; while the peer does not read, only the latest one a symbol is kept."""
        if self.writable:
            self.write(frames.text(encode(status)))
        elif self.state is State.OPEN:
            self._owed[status.symbol] = status

    def disconnect_slow(self) -> None:
        """Too far behind, and its policy is to be disconnected."""
        self.close(
            CloseCode.TOO_SLOW,
            f"{self.backlog.behind} quotes unread: read faster, hold less, or connect with ?slow=conflate",
        )

    def evict(self, subscriber: Subscriber, code: CloseCode, reason: str) -> None:
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
        self.write(frames.close(code, reason))
        self._leave(str(int(code)), within)

    def abort(self, why: str) -> None:
        """Drop the connection now, and with it what the kernel still keeps for it."""
        if self.state is State.OPEN:
            self._leave(why)
        if self.state is not State.CLOSED:
            self.transport.reset()

    def _reply(self, data: bytes) -> None:
        """Answers to a peer that asks and does not read are bounded by themselves: quotes that wait
        for one that is slow are its policy's matter, and no reason to refuse it a pong.
        """
        if self.stalled_since is not None:
            self._replied += len(data)
            if self._replied > self._host.config.send_buffer:
                self.abort(str(int(CloseCode.TOO_SLOW)))
                return
        self.write(data)

    def _leave(self, why: str | None, within: float | None = None) -> None:
        # Holds first: who looks from another thread must not take them for orphans.
        held, self.held = self.held, {}
        for subscriber in held.values():
            self._host.unsubscribe(subscriber)
        self.state = State.CLOSING
        self.writable = False
        self.deadline = self._host.now() + (CLOSE_TIMEOUT if within is None else within)
        if why is not None:
            self._host.count_close(why)


def _all(write: Callable[[bytes], None]) -> Callable[[bytes], int]:
    """As a push that always takes everything."""

    def push(data: bytes) -> int:
        write(data)
        return len(data)

    return push


def _nowhere(data: bytes) -> None:
    """Before the upgrade, and after the end, nothing is sent."""
