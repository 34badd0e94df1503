"""Admission: decides which connections, requests and subscriptions are accepted. It owns no connection."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from qcfeed.access.client_limits import ClientUsage, Excess
from qcfeed.access.rate_limit import TokenBucket
from qcfeed.access.request_throttle import RequestThrottle
from qcfeed.config import Config
from qcfeed.errors import UnknownSymbolError
from qcfeed.model.symbol import Symbol
from qcfeed.server import clients
from qcfeed.server.clients import Clients
from qcfeed.server.hub import Hub
from qcfeed.server.request_checks import RequestChecks
from qcfeed.server.sessions import Sessions
from qcfeed.ws.handshake import Accepted
from qcfeed.ws.pending import PendingConnection
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import Head


class Admission:
    """Decides by the client's address, proxies, key, symbol and limits. ``now``: the loop's clock."""

    def __init__(self, config: Config, hub: Hub, now: Callable[[], float]) -> None:
        self._config = config
        self._hub = hub
        self._now = now
        # A bucket that holds less than one token would never allow a subscription.
        burst = max(1.0, config.subscribe_rate)
        self._rate = TokenBucket(config.subscribe_rate, burst, now())
        self.checks = RequestChecks(config)
        self.clients = Clients(config, now)
        """What each client uses."""

    def check_source(self, pending: PendingConnection, head: Head) -> Refusal | None:
        """Find the client behind proxies, and check its limits, its Host and its Origin."""
        seen = self.checks.locate(pending.address[:2], head.headers)
        if isinstance(seen, Refusal):
            return seen
        # A connection that comes directly was counted when it was accepted; behind a proxy, its client is known now.
        if not pending.clients:
            pending.address = (seen.host, seen.port)
            if excess := self.clients.enter(pending, pending.client):
                return clients.refusal(excess)
        return self.checks.check(head.headers, seen)

    def admit_http(self, pending: PendingConnection, head: Head) -> Refusal | None:
        """Decide whether a plain HTTP request is handed over; a refusal says why not."""
        if refusal := self.check_source(pending, head):
            return refusal
        excess = self.clients.charge_request(pending)
        return None if excess is None else clients.refusal(excess)

    def admit(
        self, pending: PendingConnection, head: Head, decision: Accepted, sessions: Sessions
    ) -> Accepted | Refusal:
        """Decide whether the client may have the connection, and the symbol that its path names.

        Call it last: subscribing takes a token of the rate, which a refusal would waste.
        """
        # Before the symbol: a stranger must not learn which ones there are.
        session = sessions.admit(pending, head, decision.symbol)
        if isinstance(session, Refusal):
            return session
        if session is not None and session.identity is not None:
            name = clients.key_client(session.identity.name)
            if excess := self.clients.enter(pending, name):
                return clients.refusal(excess)
        if decision.symbol is not None and (
            refusal := self._check_only_symbol(pending, decision.symbol)
        ):
            return refusal
        return decision if session is None else decision._replace(session=session)

    def _check_only_symbol(self, pending: PendingConnection, symbol: Symbol) -> Refusal | None:
        try:
            excess = self.check_subscription(pending.clients, symbol)
        except UnknownSymbolError as error:
            return Refusal(HTTPStatus.NOT_FOUND, error.code, f"unknown symbol {symbol}")
        return None if excess is None else clients.refusal(excess)

    def check_subscription(
        self,
        usages: tuple[ClientUsage, ...],
        symbol: Symbol,
        throttle: RequestThrottle | None = None,
    ) -> Excess | None:
        """The limit that forbids these clients to subscribe to ``symbol`` now; charges their rates.

        ``throttle``: of their connection, if it has one already.

        Raises UnknownSymbolError.
        """
        self._hub.check_symbol(symbol)
        if excess := self.clients.check_subscription(usages, symbol):
            return excess
        now = self._now()
        if wait := self._rate.wait(now):
            rate = f"{self._config.subscribe_rate:g}"
            return Excess("subscribe_rate", f"more than {rate} new subscriptions per second", wait)
        # A new feed costs the upstream a subscription; joining one that is open costs it nothing.
        if symbol not in self._hub.feeds:
            listed = self._hub.upstream.lists(symbol)
            if excess := self.clients.check_new_feed(usages, throttle, listed=listed):
                return excess
        self._rate.charge(now, 1)
        return None
