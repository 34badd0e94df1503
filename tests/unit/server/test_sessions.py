"""Connections of clients with an API key: who they are, what they may do, and how long they may wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from qcfeed.model.messages import CloseCode
from qcfeed.server.authentication import Authenticator
from tests.support.access import stored, write_keys
from tests.support.modelled_kernel import Exchange, Peer, symbols, timeless
from tests.support.raw_websocket import head
from tests.support.virtual_time import in_virtual_time

DESK, GUEST, STRANGER = ("qcf_" + letter * 43 for letter in "DGS")
ONE, OTHER = symbols(2)


@contextlib.asynccontextmanager
async def guarded(place: Path, **options: Any) -> AsyncIterator[Exchange]:
    """A service with two keys: one for all symbols, and one for a single symbol."""
    path = place / "keys.json"
    write_keys(path, [stored("desk", DESK), stored("guest", GUEST, ONE)])
    config = timeless(keys=str(path), **options)
    async with Exchange.running(config) as exchange:
        exchange.gateway.authenticate_with(Authenticator(config))
        yield exchange


def bearer(token: str) -> dict[str, bytes]:
    return {"authorization": b"Bearer " + token.encode()}


def heard(peer: Peer) -> list[dict[str, Any]]:
    peer.read()
    found, peer.messages = peer.messages, []
    return found


@in_virtual_time
async def test_a_connection_with_a_key_has_its_name_and_counts_for_it_as_for_its_address(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as exchange:
        peer = exchange.connect(f"/quotes/{ONE}", **bearer(GUEST))
        connection = exchange.connection_of(peer)
        assert connection is not None
        assert connection.session is not None
        assert (connection.name, connection.client) == ("guest", "127.0.0.1")
        assert [each.name for each in connection.clients] == ["127.0.0.1", "key guest"]
        assert [each.subscriptions for each in connection.clients] == [1, 1]
        connection.abort("test")
        await asyncio.sleep(0.001)
        assert exchange.gateway.access_problems == []


@in_virtual_time
async def test_without_a_valid_key_an_upgrade_is_refused_before_the_symbol_is_looked_at(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as exchange:
        for headers, status in (({}, 401), (bearer(STRANGER), 401), (bearer(GUEST), 403)):
            visitor = exchange.visit(head(f"/quotes/{OTHER}", **headers))
            assert visitor.response is not None
            assert visitor.response.status == status
        assert exchange.hub.feeds == {}
        assert exchange.gateway.opened == 0


@in_virtual_time
async def test_the_connections_of_a_key_are_limited_wherever_they_come_from(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path, client_connections=1) as exchange:
        exchange.connect("/stream", **bearer(DESK))
        visitor = exchange.visit(head("/stream", **bearer(DESK)), host="192.0.2.7")
        assert visitor.response is not None
        assert (visitor.response.status, visitor.response.json()["code"]) == (
            429,
            "client_connections",
        )
        assert visitor.response.json()["message"].startswith("key desk has the maximum of 1 ")


@in_virtual_time
async def test_a_connection_may_authenticate_by_its_first_message_and_nothing_else_comes_before(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as exchange:
        early, peer = exchange.connect(), exchange.connect()
        early.say("subscribe", ONE)
        early.read()
        assert early.close_code == CloseCode.UNAUTHENTICATED == 4001
        peer.say("authenticate", token=GUEST)
        assert heard(peer) == [{"type": "authenticated", "name": "guest", "expires_in_ms": None}]
        peer.say("subscribe", ONE, OTHER)
        error, subscribed = heard(peer)
        assert (error["symbol"], subscribed["symbols"]) == (OTHER, [ONE])
        connection = exchange.connection_of(peer)
        assert connection is not None
        assert [each.name for each in connection.clients] == ["127.0.0.1", "key guest"]


@in_virtual_time
async def test_a_malformed_request_before_authentication_is_not_explained(tmp_path: Path) -> None:
    async with guarded(tmp_path) as exchange:
        peer = exchange.connect()
        peer.say("fly")
        peer.read()
        assert (peer.close_code, peer.messages) == (CloseCode.UNAUTHENTICATED, [])


@in_virtual_time
async def test_a_connection_that_does_not_authenticate_in_five_seconds_is_closed(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as exchange:
        exchange.gateway.timeouts.start()
        silent, known = exchange.connect(), exchange.connect("/stream", **bearer(DESK))
        await asyncio.sleep(4.9)
        silent.read()
        assert silent.close_code is None
        await asyncio.sleep(0.1 + 5 / 4)
        for peer in (silent, known):
            peer.read()
        assert (silent.close_code, known.close_code) == (CloseCode.UNAUTHENTICATED, None)
        exchange.gateway.timeouts.stop()
