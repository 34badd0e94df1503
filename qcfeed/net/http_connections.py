"""Plain HTTP connections of one port: each has an owner, a deadline and a place among a limited number.

aiohttp serves the requests. It does not time out a connection without a request, one whose answer
nobody reads, or one whose handler died of a malformed request; here each of them ends, and the number of
connections is bounded whatever they send.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from aiohttp import http_exceptions, web
from aiohttp.http import HttpVersion10, RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from qcfeed.log_limit import RepeatLimit
from qcfeed.net import descriptors
from qcfeed.net.transport import Transport

log = logging.getLogger(__name__)
log.addFilter(RepeatLimit())  # also in programs that use attach(), whose log has no other limit

_SWEEP = 0.5
"""Seconds between two checks of all deadlines."""
_MOST = 64
"""Default limit of the connections of one kind; operators and their tools need a few."""
_SHARE_OF_DESCRIPTORS = 8
"""The connections of one kind may take an eighth of all file descriptors."""


class HttpEnd(StrEnum):
    """Why a connection was ended; ``MALFORMED`` counts requests."""

    FULL = "full"
    EVICTED = "evicted"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """``waiting``: connections without a request in progress; ``busy``: those with one. Times are in seconds."""

    waiting: int
    busy: int
    head: float = 10.0
    """For a complete request head, also after an earlier request."""
    answer: float = 30.0
    """For the handler, with the request's body."""
    send: float = 30.0
    """For the client to take the answer."""

    @classmethod
    def for_this_process(cls, *, most: int = _MOST, **times: float) -> HttpLimits:
        """At most ``most`` connections of each kind; fewer if the process may open few files."""
        share = max(2, min(most, descriptors.limit() // _SHARE_OF_DESCRIPTORS))
        return cls(waiting=share, busy=share, **times)


class HttpConnections:
    """The HTTP connections of one port. ``name`` says which port in log lines.

    ``new`` creates the protocol of a connection. When the port is full, the oldest connection that waits
    for a request ends: silent ones cannot lock out a client that sends a request.
    """

    def __init__(self, name: str, limits: HttpLimits) -> None:
        self.name = name
        self.limits = limits
        self.on_ended: Callable[[], None] | None = None
        """Called whenever a connection has ended."""
        self.ended: Counter[str] = Counter()
        """Connections that did not end by themselves, by reason; also malformed requests."""
        self._server: web.Server | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[HttpConnection, None] = {}
        self._busy: set[HttpConnection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    def serve(self, server: web.Server) -> None:
        """Serve connections with ``server`` from now on."""
        self._server = server
        make = cast("Callable[..., web.BaseRequest]", server.request_factory)
        server.request_factory = self._guarded(make)

    def new(self, _address: object) -> asyncio.Protocol:
        """The protocol of a connection that an acceptor has accepted."""
        return self.take_over()

    def take_over(self) -> asyncio.Protocol:
        """The protocol of a connection that another protocol hands over."""
        if self._server is None:
            raise RuntimeError("the HTTP server is not running")
        return HttpConnection(self, self._server)

    async def close(self) -> None:
        """End all connections."""
        if self._timer is not None:
            self._timer.cancel()
        # An abort takes effect in the next turn of the loop, in which ``on_lost`` takes the connection out.
        while len(self):
            for each in [*self._waiting, *self._busy]:
                each.transport.abort()
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # aiohttp gets connection_lost one turn later: see HttpConnection

    @contextlib.contextmanager
    def working(self, request: web.BaseRequest) -> Iterator[None]:
        """Count the connection of ``request`` as busy, not as waiting, while the request is answered.

        Raises HTTPServiceUnavailable if the limit of busy connections is reached.
        """
        transport = request.transport
        connection = None if transport is None else transport.get_protocol()
        if not isinstance(connection, HttpConnection):  # the client has left
            yield
            return
        if len(self._busy) >= self.limits.busy:
            raise web.HTTPServiceUnavailable(text="too many requests at the same time\n")
        self._waiting.pop(connection, None)
        self._busy.add(connection)
        connection.deadline = self._loop.time() + self.limits.answer
        try:
            yield
        finally:
            # If the connection has ended meanwhile, ``on_lost`` has removed it.
            if connection in self._busy:
                self._busy.discard(connection)
                connection.deadline = self._loop.time() + self.limits.send
                self._waiting[connection] = None

    # ------------------------------------------------------------ called by connections

    def on_made(self, connection: HttpConnection) -> None:
        """Take a new connection, or drop it if the port is full."""
        if len(self._waiting) >= self.limits.waiting and not self._evict():
            self._end(
                connection, HttpEnd.FULL, "its port is full of connections that are being answered"
            )
            return
        connection.deadline = self._loop.time() + self.limits.head
        self._waiting[connection] = None
        if self._timer is None:
            self._timer = self._loop.call_later(_SWEEP, self._sweep)

    def on_lost(self, connection: HttpConnection) -> None:
        self._waiting.pop(connection, None)
        self._busy.discard(connection)
        if self.on_ended is not None:
            self.on_ended()

    # ------------------------------------------------------------ ends

    def _evict(self) -> bool:
        """End the oldest connection that waits for a request; False if all are still receiving an answer."""
        for each in self._waiting:
            # With unsent bytes it is still receiving an answer, so it is not silent.
            if not each.transport.get_write_buffer_size():
                del self._waiting[each]
                self._end(each, HttpEnd.EVICTED, "a newer connection needs its place")
                return True
        return False

    def _sweep(self) -> None:
        now = self._loop.time()
        for each in [each for each in (*self._waiting, *self._busy) if each.deadline <= now]:
            self._end(
                each,
                HttpEnd.TIMEOUT,
                "it sent no complete request, or did not take its answer, in time",
            )
        self._timer = self._loop.call_later(_SWEEP, self._sweep) if len(self) else None

    def _end(self, connection: HttpConnection, reason: HttpEnd, why: str) -> None:
        self.ended[reason] += 1
        log.warning("%s: ended an HTTP connection: %s", self.name, why)
        # Not ``close``, which waits until the peer has read its answer: this peer may never read it.
        connection.transport.reset()

    def _guarded(self, make: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
        """aiohttp builds the request outside its error handling, where some malformed ones raise."""

        def build(message: RawRequestMessage, *rest: Any) -> web.BaseRequest:
            try:
                return make(message, *rest)
            except Exception as error:  # noqa: BLE001 - a malformed request may raise anything
                self.note_malformed(f"{type(error).__name__}: {error}")
                return make(_MALFORMED, *rest)

        return build

    def note_malformed(self, why: str) -> None:
        self.ended[HttpEnd.MALFORMED] += 1
        log.warning("%s: a malformed HTTP request: %s", self.name, why[:200])

    @property
    def logger(self) -> logging.Logger:
        """The logger for aiohttp: a malformed request is one line, without a traceback."""
        logger = logging.getLogger(f"{__name__}.{self.name.replace(' ', '_')}")
        logger.filters = [_ShortenMalformed(self), RepeatLimit()]
        return logger


class _ShortenMalformed(logging.Filter):
    def __init__(self, connections: HttpConnections) -> None:
        super().__init__()
        self._connections = connections

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, http_exceptions.HttpProcessingError):
            return True
        self._connections.note_malformed(" ".join(str(error).split()))
        return False


class HttpConnection(asyncio.Protocol):
    """One connection: passes everything on to aiohttp's protocol. ``deadline``: in loop time.

    aiohttp's protocol, which has a task, is created with the first data: silent connections have none.
    """

    __slots__ = ("_inner", "_new_inner", "_owner", "deadline", "transport")

    transport: Transport

    def __init__(self, owner: HttpConnections, new_inner: Callable[[], asyncio.Protocol]) -> None:
        self._owner = owner
        self._new_inner = new_inner
        self._inner: asyncio.Protocol | None = None
        self.deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("Transport", transport)
        self._owner.on_made(self)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._inner is None:
            self._inner = self._new_inner()
            self._inner.connection_made(self.transport)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None:
            # In the next turn: aiohttp's task raises if the connection is lost before its first step.
            asyncio.get_running_loop().call_soon(self._inner.connection_lost, exc)
        self._owner.on_lost(self)


HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def supervised(connections: HttpConnections) -> Any:
    """A middleware for applications whose requests are all admitted."""

    @web.middleware
    async def supervise(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        with connections.working(request):
            return await handler(request)

    return supervise


_MALFORMED = RawRequestMessage(
    method="UNKNOWN",
    path="/",
    version=HttpVersion10,
    headers=CIMultiDictProxy(CIMultiDict()),
    raw_headers=(),
    should_close=True,
    compression=None,
    upgrade=False,
    chunked=False,
    url=URL("/"),
)
"""Takes the place of a request that cannot be built: it is refused like any unknown method."""
