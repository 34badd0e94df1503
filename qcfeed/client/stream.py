"""Follows symbols over one connection, reconnects by itself, and reports connects and disconnects.

One symbol is followed at ``/quotes/{symbol}``, several at ``/stream``. Nothing is buffered beyond the
socket, so a slow consumer is slow for the server too, whose policy then applies.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import aiohttp

from qcfeed.client import refusals, websocket
from qcfeed.client.endpoint import Endpoint, explain
from qcfeed.client.gaps import Gap, GapDetector, Repeat
from qcfeed.client.refusals import RetryableError
from qcfeed.errors import UnreachableError
from qcfeed.feed import backoff
from qcfeed.model import messages
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.messages import (
    MAX_MESSAGE,
    AuthExpiring,
    Error,
    GoingAway,
    Quote,
    ServerMessage,
    Status,
)
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol

CONNECT_TIMEOUT = 10.0
_BODY = 4096


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection is open and every symbol has been requested."""

    url: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection was lost; the next attempt is in ``retry_in`` seconds."""

    reason: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class Received:
    """One message: its text as received, and decoded."""

    text: str
    message: ServerMessage


StreamEvent = Connected | Disconnected | Gap | Repeat | Received


async def stream(
    server: Endpoint,
    symbols: Sequence[Symbol],
    *,
    slow: SlowConsumerPolicy | None = None,
    token: Callable[[], str | None] = lambda: None,
    tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    draw: Callable[[], float] = random.random,
) -> AsyncGenerator[StreamEvent, None]:
    """Yield the events of ``symbols`` at ``server``, until the caller closes the generator.

    ``slow``: the slow-consumer policy; None: the server's default. ``token`` returns the API key or token to
    present, for each connection and when the one presented expires; ``tls`` the context for each connection,
    None: the system's CAs are trusted. A Gap or Repeat precedes the quote
    that shows it. Quotes missed while disconnected are a Gap if the server is still in the same epoch.
    A lost connection is reopened with jittered backoff, and not before the time the server gave.

    Raises a QcfeedError when reconnecting cannot help: UnreachableError if the first attempt does not
    reach a server, or the server's UnknownSymbolError, NotAllowedError or UsageError. Close the
    generator with ``contextlib.aclosing``: it has an open socket, but no task.
    """
    url = server.quotes(symbols[0]) if len(symbols) == 1 else server.stream
    gaps = GapDetector()
    reached, attempt = False, 0
    async with _session() as session:
        while True:
            try:
                async with aclosing(_connection(session, url, symbols, slow, token, tls)) as events:
                    async for event in events:
                        # Only a message resets the backoff: a server that accepts and closes at
                        # once is retried less and less often.
                        reached, attempt = True, 0 if isinstance(event, Received) else attempt
                        if gap := _check_gap(gaps, event):
                            yield gap
                        yield event
            except (aiohttp.ClientError, TimeoutError) as error:
                if not reached:
                    # A first attempt that fails rather means a wrong address than an outage.
                    raise _unreachable(server, error) from error
                lost = RetryableError(_describe(error))
            except RetryableError as error:
                # It has answered, so it is there, and waiting may help.
                reached, lost = True, error
            gaps.reconnected()
            wait = lost.retry_in + backoff.delay(attempt, draw())
            attempt += 1
            yield Disconnected(lost.reason, wait)
            await asyncio.sleep(wait)


def _check_gap(gaps: GapDetector, event: Connected | Received) -> Gap | Repeat | None:
    if isinstance(event, Received) and isinstance(event.message, Quote):
        return gaps.check(event.message)
    return None


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        middlewares=(_explain_refusal,),
        raise_for_status=False,
    )


async def _explain_refusal(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp's own handshake error discards the body, which has the server's reason.
    response = await handler(request)
    if response.status == 101:
        return response
    async with response:
        body = await response.content.read(_BODY)
    raise refusals.from_http(
        str(request.url), response.status, body, response.headers.get("Retry-After")
    )


async def _connection(
    session: aiohttp.ClientSession,
    url: str,
    symbols: Sequence[Symbol],
    slow: SlowConsumerPolicy | None,
    token: Callable[[], str | None],
    tls: Callable[[], ssl.SSLContext | None],
) -> AsyncGenerator[Connected | Received, None]:
    """Run one connection; always ends by raising."""
    presented = token()
    context = await asyncio.to_thread(tls)  # it may read files, and ask the service
    headers = {} if presented is None else {"Authorization": f"Bearer {presented}"}
    async with asyncio.timeout(CONNECT_TIMEOUT):
        socket = await websocket.connect(
            session, url, headers, max_message=MAX_MESSAGE, tls=context
        )
    try:
        if slow is not None:
            await socket.send_json({"action": "slow", "policy": slow})
        if len(symbols) > 1:
            await socket.send_json({"action": "subscribe", "symbols": symbols})
        yield Connected(url)
        retry_in = 0.0
        while True:
            received = _received(url, await websocket.receive(socket), retry_in)
            if not _is_about(received.message, symbols):
                continue
            yield received
            if isinstance(received.message, GoingAway):
                retry_in = min(received.message.retry_after_ms / 1000, refusals.MAX_RETRY_IN)
            elif isinstance(received.message, AuthExpiring) and token() not in (None, presented):
                presented = token()
                await socket.send_json({"action": "authenticate", "token": presented})
            elif isinstance(received.message, Error):
                raise refusals.from_error(received.message)
    finally:
        await websocket.close(socket)


def _is_about(message: ServerMessage, symbols: Sequence[Symbol]) -> bool:
    """Whether the message is passed on: a server could name any number of symbols, and all would be stored."""
    return not isinstance(message, Quote | Status) or message.symbol in symbols


def _received(url: str, frame: aiohttp.WSMessage, retry_in: float) -> Received:
    match frame.type:
        case aiohttp.WSMsgType.TEXT:
            try:
                return Received(frame.data, messages.decode(frame.data))
            except JSON_ERRORS as error:
                raise UnreachableError(
                    f"{url} sent an unknown message: {frame.data[:80]!r} ({error})",
                    hint="is this the port for quotes? see `qcfeed status`",
                ) from error
        case aiohttp.WSMsgType.CLOSE:
            raise refusals.from_close(frame.data, frame.extra or "", retry_in)
        case aiohttp.WSMsgType.ERROR:
            raise RetryableError(_describe(frame.data))
        case _:
            raise refusals.from_close(None, "", retry_in)


def _unreachable(server: Endpoint, error: Exception) -> UnreachableError:
    hint = "start the service with `qcfeed serve`, or give its URL with --server"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        hint = "--tls-ca FILE names the certificates to trust; is it the right host?"
    elif "CERTIFICATE_REQUIRED" in str(error):
        hint = "the service demands a client certificate: --tls-client-cert FILE"
    return UnreachableError(f"cannot reach {server}: {_describe(error)}", hint=hint)


def _describe(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        return explain(cause) if isinstance(cause, OSError) else str(cause)
    if isinstance(error, aiohttp.ClientConnectorError):
        return explain(error.os_error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
