"""Answers the requests that clients send on their WebSocket connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcfeed.access.request_throttle import SYMBOLS_PER_REQUEST
from qcfeed.errors import InvalidSymbolError, UnknownSymbolError
from qcfeed.model import symbol as symbols
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.messages import (
    Action,
    Error,
    Pong,
    Request,
    SlowPolicy,
    Subscribed,
    decode_request,
)
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from qcfeed.server.refused_symbols import RefusedSymbols
from qcfeed.server.request_limits import RequestLimits, error
from qcfeed.ws.connection import ConnectionState, WebSocketConnection

if TYPE_CHECKING:
    from qcfeed.server.gateway import Gateway


class Requests:
    """Answers requests; a request gets at most one error. ``limits``: how many requests may come."""

    def __init__(self, host: Gateway, limits: RequestLimits) -> None:
        self._host = host
        self._limits = limits

    def answer(self, connection: WebSocketConnection, text: str) -> None:
        """Answer one text message of a client."""
        if not self._limits.admit(connection):
            return
        try:
            request = decode_request(text)
        except JSON_ERRORS as problem:
            if not self._host.sessions.refuse_request(connection):
                connection.send(Error("bad_request", f"invalid request: {problem}"))
            return
        if request.symbols:
            self._limits.charge(connection, len(request.symbols) / SYMBOLS_PER_REQUEST)
        if request.action is Action.AUTHENTICATE:
            self._host.sessions.authenticate(connection, request.token)
        elif not self._host.sessions.refuse_request(connection):
            self._execute(connection, request)

    def _execute(self, connection: WebSocketConnection, request: Request) -> None:
        if request.action is Action.PING:
            connection.send(Pong())
        elif request.action is Action.SLOW:
            self._set_policy(connection, request.policy)
        elif connection.single_symbol:
            connection.send(
                Error("fixed_symbol", "this connection's symbol is fixed; use /stream for others")
            )
        elif len(request.symbols) > self._host.config.max_symbols:
            self._refuse(connection, self._symbol_limit())
        elif request.action is Action.SUBSCRIBE:
            self._subscribe(connection, request.symbols)
        else:
            self._unsubscribe(connection, request.symbols)

    def _set_policy(self, connection: WebSocketConnection, name: str) -> None:
        try:
            connection.backlog.policy = SlowConsumerPolicy(name)
        except ValueError:
            message = f"policy {name[:32]!r} is not one of {', '.join(SlowConsumerPolicy)}"
            self._refuse(connection, Error("invalid_option", message))
        else:
            connection.send(SlowPolicy(connection.backlog.policy))
            if connection.backlog.must_disconnect:  # it is over its limit already
                connection.disconnect_slow()

    def _subscribe(self, connection: WebSocketConnection, names: Sequence[str]) -> None:
        refused = RefusedSymbols()
        for number, name in enumerate(names):
            problem = self._subscribe_one(connection, name)
            if problem is None:
                continue
            refused.add(name, problem)
            if problem.retryable:  # a limit is reached, which applies to the remaining symbols too
                left = (each for each in names[number + 1 :] if each not in connection.subscribers)
                refused.add_all(left, problem)
                break
        self._confirm(connection, refused)
        # After the confirmation, so that it precedes the first quote.
        connection.catch_up()

    def _confirm(self, connection: WebSocketConnection, refused: RefusedSymbols) -> None:
        """Report which symbols were refused, and which the connection has now."""
        if refused.error is not None:
            for code, count in refused.counts.items():
                self._host.count_refusal(code, count)
            connection.send(refused.error)
        # A reply to a client that does not read may have ended the connection.
        if connection.state is ConnectionState.OPEN:
            connection.send(Subscribed(sorted(connection.subscribers)))

    def _subscribe_one(self, connection: WebSocketConnection, name: str) -> Error | None:
        try:
            symbol = symbols.parse(name)
        except InvalidSymbolError as problem:
            return _invalid(problem, name)
        if symbol in connection.subscribers:
            return None
        if (forbidden := self._host.sessions.forbids(connection, symbol)) is not None:
            return forbidden
        if len(connection.subscribers) >= self._host.config.max_symbols:
            return self._symbol_limit(symbol)
        try:
            excess = self._host.admission.check_subscription(
                connection.clients, symbol, connection.throttle
            )
            if excess is not None:
                return error(excess, symbol)
            self._host.subscribe(connection, symbol)
        except UnknownSymbolError as problem:
            return Error(problem.code, problem.message, symbol)
        return None

    def _symbol_limit(self, symbol: Symbol | None = None) -> Error:
        limit = self._host.config.max_symbols
        return Error("symbol_limit", f"a connection has at most {limit} symbols", symbol)

    def _refuse(self, connection: WebSocketConnection, problem: Error) -> None:
        self._host.count_refusal(problem.code)
        connection.send(problem)

    def _unsubscribe(self, connection: WebSocketConnection, names: Sequence[str]) -> None:
        refused = RefusedSymbols()
        for name in names:
            try:
                symbol = symbols.parse(name)
            except InvalidSymbolError as problem:
                refused.add(name, _invalid(problem, name))
                continue
            subscriber = connection.subscribers.pop(symbol, None)
            if subscriber is not None:
                self._host.unsubscribe(connection, subscriber)
        self._confirm(connection, refused)


def _invalid(problem: InvalidSymbolError, name: str) -> Error:
    return Error(problem.code, f"{problem.message}: {problem.hint}", name[:32])
