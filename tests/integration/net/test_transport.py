"""The transport keeps asyncio's contract with its protocol, on real sockets."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from qcfeed.net import listen
from qcfeed.net.acceptor import Acceptor, SocketAddress
from qcfeed.net.poller import Poller
from qcfeed.net.transport import Transport
from tests.support.running_service import until

MEGABYTES = b"0123456789abcdef" * 262_144


class Keeping(asyncio.Protocol):
    """Records the calls of its methods."""

    transport: Transport

    def __init__(self) -> None:
        self.told: list[str] = []
        self.heard = b""
        self.ended: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def eof_received(self) -> bool | None:
        self.told.append("eof")
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.append(exc)


class Staying(Keeping):
    def eof_received(self) -> bool:
        super().eof_received()
        return True


class Broken(Keeping):
    def data_received(self, data: bytes) -> None:
        raise ArithmeticError(data)


@asynccontextmanager
async def connected(kind: type[Keeping] = Keeping) -> AsyncIterator[tuple[Keeping, socket.socket]]:
    """A protocol on an accepted connection, and the peer's blocking socket."""
    made: list[Keeping] = []

    def make(_address: SocketAddress) -> Keeping:
        made.append(kind())
        return made[-1]

    bound = listen.bind("127.0.0.1", 0, "--port")
    acceptor = Acceptor(asyncio.get_running_loop(), bound, make)
    acceptor.start(16)
    with socket.create_connection(bound.getsockname()) as peer:
        peer.setblocking(False)
        await until(lambda: made and hasattr(made[0], "transport"), "the connection is accepted")
        try:
            yield made[0], peer
        finally:
            acceptor.close()
            made[0].transport.abort()
            await until(lambda: made[0].ended, "its end is told")
    assert len(made[0].ended) == 1


async def received(peer: socket.socket, size: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < size and (piece := await loop.sock_recv(peer, 1 << 20)):
        data += piece
    return data


async def test_unsent_bytes_are_sent_later_in_order() -> None:
    async with connected() as (protocol, peer):
        transport = protocol.transport
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        transport.write(MEGABYTES)
        transport.write(b"the end")
        assert protocol.told == ["pause"]
        assert 0 < transport.get_write_buffer_size() <= len(MEGABYTES) + 7
        assert await received(peer, len(MEGABYTES) + 7) == MEGABYTES + b"the end"
        assert protocol.told == ["pause", "resume"]
        assert transport.get_write_buffer_size() == 0
        transport.write(b"and more")
        assert await received(peer, 8) == b"and more"


async def test_a_request_that_arrived_before_its_connection_was_accepted_is_read_at_once() -> None:
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    with peer:
        peer.sendall(b"GET / HTTP/1.1")
        poller, protocol = Poller(asyncio.get_running_loop()), Keeping()
        transport = Transport(poller, socket.SocketType(fileno=ours.detach()), protocol)
        assert protocol.heard == b"GET / HTTP/1.1"
        poller.close_when_idle()
        transport.abort()
        await until(lambda: protocol.ended, "its end is reported")


async def test_a_push_sends_what_the_kernel_takes_and_the_rest_follows_when_it_is_queued() -> None:
    async with connected() as (protocol, peer):
        transport = protocol.transport
        taken = 0
        with pytest.raises(BlockingIOError) as full:  # noqa: PT012 - any push may be the one
            while True:
                taken += transport.push(MEGABYTES[taken:])
        assert 0 < taken < len(MEGABYTES)
        assert transport.get_write_buffer_size() == 0, "the caller has the rest"
        transport.queue_unsent(MEGABYTES[taken:], full.value)
        assert transport.get_write_buffer_size() == len(MEGABYTES) - taken
        assert await received(peer, len(MEGABYTES)) == MEGABYTES
    assert protocol.ended == [None]


async def test_the_buffer_limits_are_the_same_as_asyncio_s() -> None:
    async with connected() as (protocol, _peer):
        transport = protocol.transport
        assert transport.get_write_buffer_limits() == (16_384, 65_536)
        transport.set_write_buffer_limits(high=1_000)
        assert transport.get_write_buffer_limits() == (250, 1_000)
        transport.set_write_buffer_limits(low=100)
        assert transport.get_write_buffer_limits() == (100, 400)


async def test_close_sends_what_is_unsent_and_nothing_more() -> None:
    async with connected() as (protocol, peer):
        transport = protocol.transport
        transport.write(MEGABYTES)
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert await received(peer, len(MEGABYTES) + 1) == MEGABYTES
        await until(lambda: protocol.ended, "the end is told")
        assert protocol.ended == [None]
        transport.write(b"lost")
        assert transport.get_extra_info("peername", "gone") == "gone"


async def test_write_eof_follows_the_written_bytes() -> None:
    async with connected() as (protocol, peer):
        protocol.transport.write(MEGABYTES)
        protocol.transport.write_eof()
        protocol.transport.write_eof()
        assert await received(peer, len(MEGABYTES) + 1) == MEGABYTES
        peer.send(b"still here")
        await until(lambda: protocol.heard == b"still here", "the other half goes on")


async def test_abort_discards_unsent_bytes() -> None:
    async with connected() as (protocol, _peer):
        protocol.transport.write(MEGABYTES)
        protocol.transport.abort()
        protocol.transport.abort()
        assert protocol.transport.get_write_buffer_size() == 0
        await until(lambda: protocol.ended, "the end is told")


async def test_eof_closes_the_connection_unless_the_protocol_keeps_it_open() -> None:
    async with connected() as (protocol, peer):
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: protocol.ended, "the end is told")
        assert (protocol.told, protocol.ended) == (["eof"], [None])
    async with connected(Staying) as (protocol, peer):
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: protocol.told == ["eof"], "the end of the peer's half is told")
        protocol.transport.write(b"goodbye")
        assert await received(peer, 7) == b"goodbye"
        assert not protocol.ended


async def test_a_reset_is_reported_as_an_error() -> None:
    async with connected() as (protocol, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        await until(lambda: protocol.ended, "the end is told")
        assert isinstance(protocol.ended[0], ConnectionResetError)


async def test_reading_can_be_paused() -> None:
    async with connected() as (protocol, peer):
        protocol.transport.pause_reading()
        protocol.transport.pause_reading()
        peer.send(b"wait")
        for _ in range(10):
            await asyncio.sleep(0)
        assert (protocol.heard, protocol.transport.is_reading()) == (b"", False)
        protocol.transport.resume_reading()
        await until(lambda: protocol.heard == b"wait", "it is read")


async def test_a_bug_in_the_protocol_closes_the_connection_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "qcfeed.transport"):
        async with connected(Broken) as (protocol, peer):
            peer.send(b"x")
            await until(lambda: protocol.ended, "the end is told")
            assert isinstance(protocol.ended[0], ArithmeticError)
    assert "ArithmeticError" in caplog.text


class NoRoom:
    """A listener that raises EMFILE a number of times, and then accepts."""

    def __init__(self, bound: socket.socket, times: int) -> None:
        self._bound = bound
        self._times = times

    def __getattr__(self, name: str) -> object:
        return getattr(self._bound, name)

    def _accept(self) -> object:
        if self._times:
            self._times -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._bound._accept()  # type: ignore[attr-defined]


async def test_without_free_descriptors_the_acceptor_pauses_and_retries(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.net.acceptor.RETRY_DELAY", 0.01)
    made: list[Keeping] = []

    def make(_address: SocketAddress) -> Keeping:
        made.append(Keeping())
        return made[-1]

    bound = listen.bind("127.0.0.1", 0, "--port")
    acceptor = Acceptor(asyncio.get_running_loop(), NoRoom(bound, 2), make)  # type: ignore[arg-type]
    acceptor.start(16)
    with socket.create_connection(bound.getsockname()):
        await until(lambda: made, "it is accepted in the end")
        acceptor.close()
        made[0].transport.abort()
        await until(lambda: made[0].ended, "its end is told")
    assert caplog.text.count("cannot accept connections: Too many open files") == 2


@pytest.mark.parametrize(("turn", "let_in"), [(0.001, [4, 4, 4, 4, 4]), (1.0, [4, 10, 6])])
async def test_the_longer_a_turn_the_more_connections_are_accepted(
    monkeypatch: pytest.MonkeyPatch, turn: float, let_in: list[int]
) -> None:
    """Twenty connections wait. On a fake clock, accepting each takes 10 ms."""
    monkeypatch.setattr("qcfeed.net.acceptor.MAX_ACCEPTS", 4)
    now, made = [0.0], list[Keeping]()

    def make(_address: SocketAddress) -> Keeping:
        now[0] += 0.01
        made.append(Keeping())
        return made[-1]

    bound = listen.bind("127.0.0.1", 0, "--port")
    acceptor = Acceptor(asyncio.get_running_loop(), bound, make)
    acceptor.start(32)
    with ExitStack() as peers:
        for _ in range(20):
            peers.enter_context(socket.create_connection(bound.getsockname()))
        counts = []
        with monkeypatch.context() as patched:
            patched.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
            while len(made) < 20:
                before = len(made)
                acceptor.ready(0)
                counts.append(len(made) - before)
                now[0] += turn
        acceptor.close()
        for each in made:
            each.transport.abort()
        await until(lambda: all(each.ended for each in made), "their ends are told")
    assert counts == let_in
