"""One connection to NATS: an adapter around nats-py, which is imported when it is first used.

nats-py does not reconnect here: what it has buffered would be sent later, when a feeder may no longer own
its lease. A lost connection stays lost; the users of a connection open another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qcfeed.cluster import servers as addresses
from qcfeed.cluster.intake import Intake
from qcfeed.cluster.nats_client import (
    client_class,
    describe,
    is_cancelled,
    raise_if_cancelled,
    read_much_at_once,
    refusal,
)
from qcfeed.cluster.subscription import Subscription
from qcfeed.config import NatsConfig
from qcfeed.errors import ConfigError, UpstreamError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as NatsSubscription

log = logging.getLogger("qcfeed.nats")

CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0
_RESETS = 3
"""Attempts to connect to a server that gives no reason: its reset of the connection may overtake the reason."""
DENIED_FOR = 10.0
"""Seconds for which a denied permission is shown; whatever needs it retries sooner than that."""
PING_INTERVAL = 2
"""Seconds between pings; after ``_UNANSWERED`` without an answer the connection counts as lost."""
_UNANSWERED = 2
PENDING_MESSAGES = 8_192
"""Messages that may wait for one listener; further ones are dropped. intake.py has the limits for quotes."""
OUT_BUFFER = 1_048_576
"""Bytes that may wait to be sent; a sender waits while there are more."""


class NatsConnection:
    """An open connection, until it is lost or closed. Create it with ``connect``."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.subscriptions: set[Subscription] = set()
        self._lost = asyncio.get_running_loop().create_future()
        self.intake = Intake()
        self.slow_drops = 0
        """Messages dropped because a subscription had too many that waited."""
        self.errors: deque[str] = deque(maxlen=10)
        """The last errors that the server or the client reported."""
        self._denied: dict[str, float] = {}

    @property
    def lost(self) -> bool:
        return self._lost.done() or not self._client.is_connected

    @property
    def server(self) -> str:
        """The address of the connected server."""
        url = self._client.connected_url
        return "" if url is None else str(url.netloc)

    @property
    def wants_login(self) -> bool:
        """Whether the server has said that it demands one."""
        return bool(self._client._server_info.get("auth_required"))  # noqa: SLF001

    @property
    def wants_certificate(self) -> bool:
        """Whether the server has said that it verifies the certificates of clients."""
        return bool(self._client._server_info.get("tls_verify"))  # noqa: SLF001

    @property
    def client(self) -> Client:
        """nats-py's client, for JetStream."""
        return self._client

    def loss(self) -> UpstreamError:
        why = f": {self.errors[-1]}" if self.errors else ""
        return UpstreamError(f"the connection to NATS was lost{why}")

    @property
    def denial(self) -> str | None:
        """The permission that the server denied last; None if it denied none in the last DENIED_FOR seconds."""
        denied = dict(self._denied)  # other threads read this
        if not denied:
            return None
        text, at = max(denied.items(), key=lambda each: each[1])
        return f"NATS denies a permission: {text}" if time.monotonic() - at < DENIED_FOR else None

    def explain(self, problem: str) -> str:
        """``problem``, with the missing permission that may be its cause."""
        return f"{problem} ({self.denial})" if self.denial else problem

    async def wait_lost(self) -> None:
        await asyncio.shield(self._lost)

    # ------------------------------------------------------------ messages

    async def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Send a message. Waits while the server does not read. Raises UpstreamError if that fails."""
        from nats import errors

        if self.lost:
            raise self.loss()
        try:
            await self._client.publish(subject, data, reply)
            raise_if_cancelled()
        except (errors.Error, OSError) as error:
            raise UpstreamError(f"cannot publish on NATS: {describe(error)}") from error

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes | None:
        """The answer to a request; None if nobody is subscribed.

        Raises TimeoutError without an answer, UpstreamError when the connection is lost.
        """
        from nats import errors

        if self.lost:
            raise self.loss()
        try:
            answer = await self._client.request(subject, data, timeout=timeout)
            raise_if_cancelled()
        except errors.NoRespondersError:
            return None
        except errors.TimeoutError:
            if self.denial and f'"{subject.lower()}"' in self.denial.lower():
                raise UpstreamError(self.denial) from None
            raise TimeoutError from None
        except (errors.Error, OSError) as error:
            raise UpstreamError(f"a request on NATS failed: {describe(error)}") from error
        return answer.data

    async def subscribe(self, subject: str) -> Subscription:
        """Subscribe; the reader takes the messages with ``batch``."""
        inner = await self._subscribe(subject, None)
        subscription = Subscription(self, inner)
        self.subscriptions.add(subscription)
        return subscription

    async def listen(
        self, subject: str, receive: Callable[[str, str, bytes, bool], None]
    ) -> NatsSubscription:
        """Call ``receive(subject, reply, data, no_responders)`` with each message."""

        async def on_message(message: Msg) -> None:
            status = (message.headers or {}).get("Status", "")
            receive(message.subject, message.reply, message.data, status == _NO_RESPONDERS)

        return await self._subscribe(subject, on_message)

    def new_inbox(self) -> str:
        return self._client.new_inbox()

    async def _subscribe(self, subject: str, receive: Any) -> NatsSubscription:
        from nats import errors

        if self.lost:
            raise self.loss()
        try:
            found = await self._client.subscribe(
                subject, cb=receive, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=0
            )
            if is_cancelled():  # no caller would get it, so nobody would end it
                await found.unsubscribe()
            raise_if_cancelled()
        except (errors.Error, OSError) as error:
            raise UpstreamError(f"cannot subscribe on NATS: {describe(error)}") from error
        return found

    # ------------------------------------------------------------ the end

    async def close(self) -> None:
        """Close the connection. Its tasks have ended when this returns."""
        self.mark_lost()
        # After a failed TLS handshake, nats-py's close never returns.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._client.close()

    def mark_lost(self) -> None:
        """The connection is lost or being closed: wake every reader that waits for messages."""
        if not self._lost.done():
            self._lost.set_result(None)
        for each in list(self.subscriptions):
            each.wake()

    async def on_error(self, error: Exception) -> None:
        """An error that belongs to no call, for example a missing permission."""
        from nats import errors

        if isinstance(error, errors.SlowConsumerError):
            self.slow_drops += 1
            return
        text = describe(error).strip("'")
        if text not in self.errors:
            log.warning("NATS: %s", text)
        self.errors.append(text)
        if text.lower().startswith("permissions violation"):
            self._denied[text] = time.monotonic()
            self._end_denied(text)

    def _end_denied(self, text: str) -> None:
        """End the reader of a denied subscription: permissions may change on the server while it runs."""
        # nats-py gives the server's text in lower case.
        found = _DENIED_SUBSCRIPTION.search(text)
        if found is None:
            return
        named = [each for each in self.subscriptions if each.subject.lower() == found[1].lower()]
        for each in named:
            each.fail(f"NATS denies a permission: {text}")
        if not named:  # one that the whole connection needs, such as that of its inbox
            self.mark_lost()

    async def on_closed(self) -> None:
        self.mark_lost()


async def connect(urls: Sequence[str], config: NatsConfig, name: str) -> NatsConnection:
    """Connect to the first server that accepts. Raises UpstreamError, or ConfigError for credentials."""
    for _ in range(_RESETS - 1):
        try:
            return await _connect(urls, config, name)
        except _ResetError:
            continue
    return await _connect(urls, config, name)


class _ResetError(UpstreamError):
    """A server closed the connection without saying why."""


async def _connect(urls: Sequence[str], config: NatsConfig, name: str) -> NatsConnection:
    client = client_class()()
    read_much_at_once()
    connection = NatsConnection(client)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await client.connect(
                list(urls),
                name=name,
                # Every feed must learn of a loss, because it has to ask the owner again; nats-py would reconnect silently.
                allow_reconnect=False,
                # The callers rotate the list, so that the next attempt begins with another server.
                dont_randomize=True,
                # With 0, nats-py would go on with the first connect until a server accepts.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=2,
                ping_interval=PING_INTERVAL,
                max_outstanding_pings=_UNANSWERED,
                pending_size=OUT_BUFFER,
                error_cb=connection.on_error,
                closed_cb=connection.on_closed,
                tls=addresses.tls(config, list(urls)),
                **addresses.login(config),
            )
            raise_if_cancelled()
    except ConfigError:
        raise
    except Exception as error:
        await connection.close()
        why = connection.errors[-1] if connection.errors else describe(error)
        servers = addresses.short_name(list(urls))
        silent = any(word in why.lower() for word in _SILENT)
        if silent and connection.wants_certificate:
            message = f"{servers} verifies client certificates, and ended the connection without a reason ({why})"
            raise _ResetError(f"{message}; see --nats-cert and --nats-key") from error
        if silent and connection.wants_login:
            raise _ResetError(
                refusal(servers, f"without an authorization error ({why})")
            ) from error
        raise UpstreamError(refusal(servers, why)) from error
    except BaseException:
        # Cancelled: nats-py would leave its tasks and the socket behind.
        await connection.close()
        raise
    return connection


def check(urls: Sequence[str], config: NatsConfig) -> None:
    """Raise ConfigError if the client is not installed, or a file with credentials cannot be read."""
    client_class()
    addresses.tls(config, list(urls))
    addresses.login(config)


_SILENT = ("connection reset", "broken pipe", "connection lost", "unexpected eof")
"""Parts of the errors with which a connection ends if the server gives no reason."""
_DENIED_SUBSCRIPTION = re.compile(r'subscription to "([^"]*)"', re.IGNORECASE)
_NO_RESPONDERS = "503"
