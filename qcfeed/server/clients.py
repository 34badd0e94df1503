"""Applies the limits per client to connections, requests and subscriptions (access/client_limits.py)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from http import HTTPStatus

from qcfeed.access.client_address import is_loopback
from qcfeed.access.client_limits import ClientLimits, ClientTable, ClientUsage, Excess
from qcfeed.access.request_throttle import RequestThrottle
from qcfeed.config import Config
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model.symbol import Symbol
from qcfeed.ws.connection import WebSocketConnection
from qcfeed.ws.pending import PendingConnection
from qcfeed.ws.refusal import Refusal

log = logging.getLogger("qcfeed.clients")

ANSWERED = 16
"""Connections above a client's limit that get an HTTP answer; further ones are reset."""


class Clients:
    """The clients of the service. ``now``: the loop's clock."""

    def __init__(self, config: Config, now: Callable[[], float]) -> None:
        self._now = now
        self._remote = config.client_limits(loopback=False)
        self._loopback = config.client_limits(loopback=True)
        self.table = ClientTable(self._limits)

    def _limits(self, name: str) -> ClientLimits:
        return self._loopback if is_loopback(name) else self._remote

    # ------------------------------------------------------------ connections

    def enter(self, pending: PendingConnection, name: str) -> Excess | None:
        """``pending`` belongs to the client ``name``: count its connection, and charge it."""
        usage = self.table.enter(name)
        pending.clients = (*pending.clients, usage)
        return self._logged(usage.connect(self._now()))

    def is_flooding(self, pending: PendingConnection) -> bool:
        """Whether the client has so many connections that another refusal is not worth its socket."""
        return any(
            each.limits.connections and each.connections > each.limits.connections + ANSWERED
            for each in pending.clients
        )

    def leave(self, connection: PendingConnection | WebSocketConnection) -> None:
        """The connection has ended. Does nothing if another one has taken over from it."""
        for usage in connection.clients:
            self.table.leave(usage, self._now())
        connection.clients = ()

    def take_over(self, pending: PendingConnection, connection: WebSocketConnection) -> None:
        """A WebSocket connection takes over from the pending one."""
        connection.clients, pending.clients = pending.clients, ()

    def identify(self, connection: WebSocketConnection, name: str) -> Excess | None:
        """The connection has authenticated as ``name``, which is a client beside its address."""
        usage = self.table.enter(key_client(name))
        for symbol in connection.subscribers:
            usage.subscribe(symbol)
        connection.clients = (*connection.clients, usage)
        return self._logged(usage.connect(self._now()))

    def charge_request(self, pending: PendingConnection) -> Excess | None:
        """Charge a plain HTTP request to its clients."""
        now = self._now()
        for usage in pending.clients:
            if excess := usage.check_request(now):
                return self._logged(excess)
            usage.charge_request(now, 1)
        return None

    # ------------------------------------------------------------ subscriptions

    def check_subscription(self, clients: tuple[ClientUsage, ...], symbol: Symbol) -> Excess | None:
        """The limit that forbids these clients one more subscription, or None."""
        for usage in clients:
            if excess := usage.check_subscription(symbol):
                return self._logged(excess)
        return None

    def check_new_feed(
        self, clients: tuple[ClientUsage, ...], throttle: RequestThrottle | None, *, listed: bool
    ) -> Excess | None:
        """Charge these clients a new feed; ``listed``: whether the upstream is sure to have its symbol.

        Programs that share a loopback address are told apart by their connections (``throttle``).
        """
        now = self._now()
        for usage in clients:
            excess = usage.open_feed(now)
            if excess is None and not listed:
                payer = throttle if usage.is_shared and throttle is not None else usage
                excess = payer.open_unlisted(now)
            if excess is not None:
                return self._logged(excess)
        return None

    def subscribed(self, connection: WebSocketConnection, symbol: Symbol) -> None:
        """Count a new subscription."""
        for usage in connection.clients:
            usage.subscribe(symbol)

    def unsubscribed(self, connection: WebSocketConnection, subscriber: Subscriber) -> None:
        """Count one subscription less."""
        for usage in connection.clients:
            usage.unsubscribe(subscriber.symbol)

    def _logged(self, excess: Excess | None) -> Excess | None:
        if excess is not None:
            log.warning("refused: %s", excess.message)  # repeated lines are left out (log_limit.py)
        return excess


def key_client(name: str) -> str:
    """The client of an API key or token of this name. It cannot be mistaken for an address."""
    return f"key {name}"


def refusal(excess: Excess) -> Refusal:
    """The answer to a request before the upgrade."""
    wait = str(max(1, math.ceil(excess.wait)))
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        excess.code,
        excess.message,
        {"Retry-After": wait},
        retryable=True,
    )
