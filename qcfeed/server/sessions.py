"""Authenticates connections: at the upgrade, by a message, and again when keys change or expire."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from qcfeed.access.client_limits import Excess
from qcfeed.access.denial import DenialReason, Denied
from qcfeed.access.grants import Identity
from qcfeed.access.session import Due, Session
from qcfeed.model.messages import Authenticated, AuthExpiring, CloseCode, Error
from qcfeed.model.symbol import Symbol
from qcfeed.server import clients
from qcfeed.server.authentication import AUTHENTICATE_WITHIN, Authenticator
from qcfeed.ws import credentials
from qcfeed.ws.connection import WebSocketConnection
from qcfeed.ws.pending import PendingConnection
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import Head

if TYPE_CHECKING:
    from qcfeed.server.gateway import Gateway


log = logging.getLogger("qcfeed.access")


class Sessions:
    """Authenticates the connections of ``host``; without an ``authenticator``, all are accepted.

    ``demanded``: whether a client must present a token; if not, one that is presented must be right.
    """

    def __init__(
        self, host: Gateway, authenticator: Authenticator | None, *, demanded: bool = True
    ) -> None:
        self._host = host
        self._authenticator = authenticator
        self._demanded = demanded

    def admit(
        self, pending: PendingConnection, head: Head, symbol: Symbol | None
    ) -> Session | Refusal | None:
        """The session of a new connection, or why it is refused; None without authentication.

        A connection to /stream (``symbol`` is None) may bring its token in its first message.
        """
        if self._authenticator is None:
            return None
        try:
            token = credentials.token_of(head)
            if token is None and not self._demanded:
                return None
            if token is None and symbol is not None:
                raise Denied(DenialReason.MISSING, "this service requires an API key or a token")  # noqa: TRY301
            if token is not None and (excess := self._excess(pending)):
                return clients.refusal(excess)
            identity = None if token is None else self._authenticator.identify(token)
            session = self._authenticator.new_session(identity)
            if symbol is not None and not session.allows(symbol):
                raise _not_allowed(symbol, identity)
        except Denied as denied:
            self._count(pending, denied.reason)
            return refusal_of(denied)
        return session

    def authenticate(self, connection: WebSocketConnection, token: str) -> None:
        """Answer the request ``authenticate``: the first one of a connection, or a new token for it."""
        session = connection.session
        if session is None or self._authenticator is None:
            connection.send(Authenticated(None, None))
            return
        if excess := self._excess(connection):
            connection.close(CloseCode.TOO_MANY_REQUESTS, excess.message)
            return
        known = session.identity
        try:
            identity = self._authenticator.identify(credentials.checked(token))
        except Denied as denied:
            self._refuse(connection, denied)
            return
        if known is not None and (known.name, known.method) != (identity.name, identity.method):
            message = (
                "a connection cannot change to another key or name; open another connection for it"
            )
            connection.send(Error("identity_changed", message))
            return
        if known is None and (excess := self._host.clients.identify(connection, identity.name)):
            connection.close(CloseCode.TOO_MANY_REQUESTS, excess.message)
            return
        wall = self._authenticator.wall()  # tokens expire by the wall clock
        session.begin(identity, self._authenticator.revision, wall)
        left = None if identity.ends_at is None else _milliseconds(identity.ends_at - wall)
        connection.send(Authenticated(identity.name, left))
        self._drop_forbidden(connection, session)

    def refuse_request(self, connection: WebSocketConnection) -> bool:
        """Close ``connection`` if it has to authenticate before other requests; returns whether it was closed."""
        if connection.session is None or connection.session.identity is not None:
            return False
        self._end(
            connection,
            DenialReason.MISSING,
            'authenticate first: send {"action": "authenticate", "token": ...}',
        )
        return True

    def forbids(self, connection: WebSocketConnection, symbol: Symbol) -> Error | None:
        """Why ``connection`` may not subscribe to ``symbol``; None if it may."""
        session = connection.session
        if session is None or session.allows(symbol):
            return None
        if (
            self._authenticator is not None
        ):  # counted, not logged: a request may name a thousand symbols
            self._authenticator.refused[DenialReason.SYMBOL] += 1
        return Error("forbidden", _not_allowed(symbol, session.identity).message, symbol)

    def check(self, connection: WebSocketConnection) -> bool:
        """Tell a client that its token expires, or end the connection; returns whether either was due."""
        session, authenticator = connection.session, self._authenticator
        if session is None or authenticator is None:
            return False
        due = session.due(self._host.now(), authenticator.wall())
        if due is Due.TIMEOUT:
            self._end(
                connection, DenialReason.TIMEOUT, f"no token within {AUTHENTICATE_WITHIN:g} s"
            )
        elif due is Due.END:
            self._end(connection, DenialReason.EXPIRED, "the API key or token has expired")
        elif session.revision != authenticator.revision:
            return self._confirm(connection, session, authenticator) or due is Due.WARNING
        elif due is Due.WARNING:
            self._warn(connection, session, authenticator)
        return due is not Due.NOTHING

    def _confirm(
        self, connection: WebSocketConnection, session: Session, authenticator: Authenticator
    ) -> bool:
        """The keys have changed: end the connection of a revoked one, and symbols no longer allowed."""
        try:
            authenticator.confirm(session)
        except Denied as denied:
            self._end(connection, denied.reason, denied.message)
            return True
        return self._drop_forbidden(connection, session)

    def _warn(
        self, connection: WebSocketConnection, session: Session, authenticator: Authenticator
    ) -> None:
        if session.identity is not None and session.identity.ends_at is not None:
            left = session.identity.ends_at - authenticator.wall()
            connection.send(AuthExpiring(_milliseconds(left)))

    def _drop_forbidden(self, connection: WebSocketConnection, session: Session) -> bool:
        """End the subscriptions that the client may no longer have; returns whether there were any."""
        ended = [each for each in connection.subscribers if not session.allows(each)]
        for symbol in ended:
            subscriber = connection.subscribers.get(symbol)
            if subscriber is None:  # the connection was closed meanwhile
                break
            message = _not_allowed(symbol, session.identity).message
            connection.evict(subscriber, CloseCode.FORBIDDEN, message)
        return bool(ended)

    def _refuse(self, connection: WebSocketConnection, denied: Denied) -> None:
        """A token in a message was refused. A connection that is authenticated goes on until it expires."""
        if denied.reason is DenialReason.UNAVAILABLE:
            self._count(connection, denied.reason)
            code = "authentication_unavailable"
            connection.send(Error(code, denied.message, retryable=True))
        elif connection.identity is None:
            self._end(connection, denied.reason, denied.message)
        else:
            self._count(connection, denied.reason)
            connection.send(Error("invalid_token", denied.message))

    def _end(self, connection: WebSocketConnection, reason: DenialReason, message: str) -> None:
        self._count(connection, reason)
        connection.close(CloseCode.UNAUTHENTICATED, message)

    def _excess(self, connection: PendingConnection | WebSocketConnection) -> Excess | None:
        """The limit of wrong tokens, if the client has reached it; its next token is then not even checked."""
        now = self._host.now()
        return next(
            filter(None, (each.check_authentication(now) for each in connection.clients)), None
        )

    def _count(
        self, connection: PendingConnection | WebSocketConnection, reason: DenialReason
    ) -> None:
        """Count a refused authentication, and charge a wrong key or token to the client's address."""
        if self._authenticator is None:
            return
        self._authenticator.refused[reason] += 1
        # Repeated lines are left out (log_limit.py).
        log.warning("refused the authentication of %s: %s", connection.client, reason)
        if reason not in _NOT_WRONG:
            # The address alone: a wrong token must not count against a key, which others use from elsewhere.
            for usage in connection.clients[:1]:
                usage.charge_denial(self._host.now())


_NOT_WRONG = frozenset(
    (DenialReason.MISSING, DenialReason.TIMEOUT, DenialReason.SYMBOL, DenialReason.UNAVAILABLE)
)
"""Reasons for which the client is not charged: it presented no wrong key or token."""


def _not_allowed(symbol: Symbol, identity: Identity | None) -> Denied:
    name = "" if identity is None else f" {identity.name[:40]!r}"
    return Denied(DenialReason.SYMBOL, f"the key or token{name} does not allow {symbol}")


def _milliseconds(seconds: float) -> int:
    return max(0, int(seconds * 1000))


def refusal_of(denied: Denied) -> Refusal:
    """The HTTP response for a token that is refused before the upgrade (RFC 6750 section 3)."""
    if denied.reason is DenialReason.UNAVAILABLE:
        return Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "authentication_unavailable",
            denied.message,
            {"Retry-After": "1"},
            retryable=True,
        )
    status, code, error = {
        DenialReason.MISSING: (HTTPStatus.UNAUTHORIZED, "unauthenticated", ""),
        DenialReason.SENT_TWICE: (HTTPStatus.BAD_REQUEST, "invalid_request", "invalid_request"),
        DenialReason.SYMBOL: (HTTPStatus.FORBIDDEN, "forbidden", "insufficient_scope"),
    }.get(denied.reason, (HTTPStatus.UNAUTHORIZED, "invalid_token", "invalid_token"))
    challenge = 'Bearer realm="qcfeed"'
    if error:
        challenge += f', error="{error}", error_description="{_quotable(denied.message)}"'
    return Refusal(status, code, denied.message, {"WWW-Authenticate": challenge})


def _quotable(text: str) -> str:
    """``text`` without characters that an error_description may not have (RFC 6750 section 3)."""
    return "".join(
        each if " " <= each <= "~" and each not in '"\\' else "'" if each == '"' else "?"
        for each in text
    )
