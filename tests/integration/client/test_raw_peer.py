"""Peers that disconnect without closing, as the server sees them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from qcfeed.client.endpoint import Endpoint
from qcfeed.client.raw_peer import AbandonedPeers, RawPeer, locate
from qcfeed.client.refusals import RetryableError
from qcfeed.errors import QcfeedError, UnknownSymbolError, UnreachableError
from qcfeed.model import messages
from qcfeed.model.messages import Band, Error, Status
from tests.support.patience import PATIENCE
from tests.support.ports import refusing_port
from tests.support.running_service import until
from tests.support.scripted_server import ScriptedServer, Visit, quote

PATH = "/quotes/AAPL"


async def connect(server: ScriptedServer, *, receive_buffer: int | None = None) -> RawPeer:
    address = await locate(server.endpoint)
    return await RawPeer.connect(server.endpoint, address, PATH, receive_buffer=receive_buffer)


async def left(server: ScriptedServer) -> Visit:
    async with asyncio.timeout(PATIENCE):
        return await server.left.get()


async def quoting(visit: Visit) -> None:
    await visit.upgrade()
    await visit.say(Status("AAPL", Band.LIVE, 0), quote(7))
    await visit.stay()


async def test_a_quote_is_read_past_other_messages(server: ScriptedServer) -> None:
    server.script = quoting
    peer = await connect(server)
    assert await peer.quote() == quote(7)
    peer.reset()


async def test_a_clean_close_is_a_handshake(server: ScriptedServer) -> None:
    server.script = quoting
    peer = await connect(server)
    await peer.close()
    assert (await left(server)).socket.close_code == 1000
    assert peer.fileno() == -1


@pytest.mark.parametrize("leave", [RawPeer.drop, RawPeer.reset])
async def test_dropping_sends_no_close_frame(
    server: ScriptedServer, leave: Callable[[RawPeer], None]
) -> None:
    server.script = quoting
    peer = await connect(server)
    await peer.quote()
    leave(peer)
    visit = await left(server)
    assert visit.socket.close_code in (1006, None)
    assert peer.fileno() == -1


@pytest.mark.parametrize(("leave", "seen"), [(RawPeer.drop, "FIN"), (RawPeer.reset, "RST")])
async def test_drop_and_reset(leave: Callable[[RawPeer], None], seen: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        raw = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    with accepted:
        leave(RawPeer("ws://plain", raw))
        accepted.settimeout(PATIENCE)
        try:
            assert accepted.recv(1) == b""
            ended = "FIN"
        except ConnectionResetError:
            ended = "RST"
    assert ended == seen


async def test_a_ping_waits_for_the_server_s_pong(server: ScriptedServer) -> None:
    peer = await connect(server)
    async with asyncio.timeout(PATIENCE):
        await peer.ping()
    peer.reset()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(404, "unknown_symbol", UnknownSymbolError), (503, "connection_limit", RetryableError)],
)
async def test_a_refused_upgrade(
    server: ScriptedServer, status: int, code: str, kind: type[Exception]
) -> None:
    async def script(_visit: Visit) -> web.Response:
        body = messages.encode(Error(code, "not you"))
        return web.Response(status=status, body=body, headers={"Retry-After": "3"})

    server.script = script
    with pytest.raises(kind, match="not you") as caught:
        await connect(server)
    if isinstance(caught.value, RetryableError):
        assert caught.value.retry_in == 3


async def closing(visit: Visit) -> None:
    await visit.upgrade()
    await visit.close(4410, "feed cancelled")


async def cutting(visit: Visit) -> None:
    await visit.upgrade()
    visit.cut()
    await asyncio.sleep(0)


async def refusing(visit: Visit) -> None:
    await visit.upgrade()
    await visit.say(Error("unknown_symbol", "not here"))
    await visit.stay()


async def babbling(visit: Visit) -> None:
    await visit.upgrade()
    await visit.socket.send_str("hello")
    await visit.stay()


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (closing, RetryableError, "4410"),
        (cutting, RetryableError, "lost"),
        (refusing, UnknownSymbolError, "not here"),
        (babbling, UnreachableError, "unknown message"),
    ],
)
async def test_a_server_that_ends_or_refuses_while_we_wait_for_a_quote(
    server: ScriptedServer,
    script: Callable[[Visit], Awaitable[None]],
    kind: type[Exception],
    words: str,
) -> None:
    server.script = script
    peer = await connect(server)
    with pytest.raises(kind, match=words):
        await peer.quote()
    peer.reset()


async def test_another_kind_of_server_is_reported() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as other:
        endpoint = Endpoint("ws", "127.0.0.1", other.sockets[0].getsockname()[1])
        with pytest.raises(UnreachableError, match="does not speak WebSocket"):
            await RawPeer.connect(endpoint, await locate(endpoint), PATH)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_refused_connection_is_reported(host: str) -> None:
    with refusing_port() as port, pytest.raises(QcfeedError, match="cannot reach") as caught:
        await locate(Endpoint("ws", host, port))
    assert "qcfeed serve" in str(caught.value.hint)


# ---------------------------------------------------------------- peers that nobody reads


async def flood(visit: Visit) -> None:
    """Send quotes until the window is full."""
    await visit.upgrade()
    assert visit.request.transport is not None
    sock = visit.request.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    # Far more than the kernel accepts, and less than aiohttp's high-water mark.
    while visit.request.transport.get_write_buffer_size() < 32_768:  # type: ignore[attr-defined]
        await visit.say(quote(1))


async def reset(visit: Visit) -> None:
    assert visit.request.transport is not None
    sock = visit.request.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visit.cut()


async def give_up(visit: Visit) -> None:
    """The server's kernel drops the connection without sending anything to the closed window."""
    assert visit.request.transport is not None
    sock = visit.request.transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 100)
    with contextlib.suppress(ConnectionError):
        while True:
            await visit.say(quote(1))


@pytest.mark.parametrize("script", [reset, give_up])
async def test_a_drop_is_detected_without_reading(
    server: ScriptedServer, script: Callable[[Visit], Awaitable[None]]
) -> None:
    enough = asyncio.Event()

    async def floods_and_then(visit: Visit) -> None:
        await flood(visit)
        await enough.wait()
        await script(visit)

    server.script = floods_and_then
    abandoned = AbandonedPeers()
    abandoned.add(await connect(server, receive_buffer=4096))
    assert abandoned.release_ended() == 0
    enough.set()
    await left(server)
    await until(abandoned.release_ended, "it is seen")
    assert len(abandoned) == 0


async def test_a_polite_close_behind_a_full_window_is_not_a_drop(server: ScriptedServer) -> None:
    """The server's kernel still holds the buffers then, which the check must detect."""

    async def script(visit: Visit) -> None:
        await flood(visit)
        assert visit.request.transport is not None
        visit.request.transport.close()

    server.script = script
    abandoned = AbandonedPeers()
    abandoned.add(await connect(server, receive_buffer=4096))
    await left(server)
    await asyncio.sleep(0.2)  # nothing to wait for: it must not happen
    assert abandoned.release_ended() == 0
    abandoned.reset()
    assert len(abandoned) == 0
