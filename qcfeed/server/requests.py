"""Answers the requests that clients send on their WebSocket connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcfeed.errors import InvalidSymbolError, UnknownSymbolError
from qcfeed.model import symbol as symbols
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.messages import Action, Error, Pong, SlowPolicy, Subscribed, decode_request
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from qcfeed.server.rate_limit import TokenBucket
from qcfeed.ws.connection import Connection, State

if TYPE_CHECKING:
    from qcfeed.server.gateway import Gateway


class Requests:
    """Answers requests. ``rate`` limits new subscriptions, over all connections."""

    def __init__(self, host: Gateway, rate: TokenBucket) -> None:
        self._host = host
        self._rate = rate

    def answer(self, connection: Connection, text: str) -> None:
        """Answer one text message of a client."""
        try:
            request = decode_request(text)
        except JSON_ERRORS as error:
            if not self._host.sessions.refuse_request(connection):
                connection.send(Error("bad_request", f"not a request: {error}"))
            return
        if request.action is Action.AUTHENTICATE:
            self._host.sessions.authenticate(connection, request.token)
        elif self._host.sessions.refuse_request(connection):
            return
        elif request.action is Action.PING:
            connection.send(Pong())
        elif request.action is Action.SLOW:
            self._set_policy(connection, request.policy)
        elif connection.single_symbol:
            connection.send(
                Error("fixed_symbol", "this connection's symbol is fixed; use /stream for others")
            )
        elif request.action is Action.SUBSCRIBE:
            self._subscribe(connection, request.symbols)
        else:
            self._unsubscribe(connection, request.symbols)

    def _set_policy(self, connection: Connection, name: str) -> None:
        try:
            connection.backlog.policy = SlowConsumerPolicy(name)
        except ValueError:
            message = f"policy {name[:32]!r} is not one of {', '.join(SlowConsumerPolicy)}"
            self._refuse(connection, Error("invalid_option", message))
        else:
            connection.send(SlowPolicy(connection.backlog.policy))
            if connection.backlog.must_disconnect:  # it is over its limit already
                connection.disconnect_slow()

    def _subscribe(self, connection: Connection, names: list[str]) -> None:
        if len(names) > self._host.config.max_symbols:
            self._refuse(connection, self._symbol_limit())
            return
        for name in names:
            error = self._subscribe_one(connection, name)
            if error is not None:
                self._refuse(connection, error)
            # A reply to a client that does not read may have ended the connection.
            if connection.state is not State.OPEN:
                return
        connection.send(Subscribed(sorted(connection.subscribers)))
        # After the confirmation, so that it precedes the first quote.
        connection.catch_up()

    def _subscribe_one(self, connection: Connection, name: str) -> Error | None:
        try:
            symbol = symbols.parse(name)
        except InvalidSymbolError as error:
            return _invalid(error, name)
        if symbol in connection.subscribers:
            return None
        if (forbidden := self._host.sessions.forbids(connection, symbol)) is not None:
            return forbidden
        if len(connection.subscribers) >= self._host.config.max_symbols:
            return self._symbol_limit(symbol)
        if not self._rate.take(self._host.now()):
            message = f"more than {self._host.config.subscribe_rate:g} new subscriptions per second"
            return Error("subscribe_rate", message, symbol, retryable=True)
        try:
            self._host.subscribe(connection, symbol)
        except UnknownSymbolError as error:
            return Error(error.code, error.message, symbol)
        return None

    def _symbol_limit(self, symbol: Symbol | None = None) -> Error:
        limit = self._host.config.max_symbols
        return Error("symbol_limit", f"a connection has at most {limit} symbols", symbol)

    def _refuse(self, connection: Connection, error: Error) -> None:
        self._host.count_refusal(error.code)
        connection.send(error)

    def _unsubscribe(self, connection: Connection, names: list[str]) -> None:
        for name in names:
            try:
                symbol = symbols.parse(name)
            except InvalidSymbolError as error:
                self._refuse(connection, _invalid(error, name))
                continue
            subscriber = connection.subscribers.pop(symbol, None)
            if subscriber is not None:
                self._host.unsubscribe(subscriber)
        connection.send(Subscribed(sorted(connection.subscribers)))


def _invalid(error: InvalidSymbolError, name: str) -> Error:
    return Error(error.code, f"{error.message}: {error.hint}", name[:32])
