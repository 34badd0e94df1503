"""Connections that are accepted with the descriptors of a reserve, on a real listener."""

from __future__ import annotations

import asyncio
import socket

import pytest

from qcfeed.net import listen
from qcfeed.net.acceptor import Acceptor, SocketAddress
from qcfeed.net.descriptors import Reserve
from tests.integration.net.test_transport import Keeping, NoRoom
from tests.support.running_service import until


async def test_a_reserve_that_let_a_connection_in_is_full_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the next time without free descriptors would refuse everybody."""
    monkeypatch.setattr("qcfeed.net.acceptor.RETRY_DELAY", 0.01)
    reserve = Reserve(3)
    made: list[Keeping] = []

    def make(_address: SocketAddress) -> Keeping:
        made.append(Keeping())
        return made[-1]

    bound = listen.bind("127.0.0.1", 0, "--port")
    room = NoRoom(bound, 2)
    acceptor = Acceptor(asyncio.get_running_loop(), room, make, reserve=reserve)  # type: ignore[arg-type]
    acceptor.start(16)
    with socket.create_connection(bound.getsockname()):
        await until(lambda: made, "it is accepted with what the reserve gave up")
        await until(lambda: reserve.is_full, "the reserve has its descriptors back")
        acceptor.close()
        made[0].transport.abort()
        await until(lambda: made[0].ended, "its end is told")
    reserve.close()
