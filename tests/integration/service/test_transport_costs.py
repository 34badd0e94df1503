"""Resources a connection must not use: turns of the loop while idle, descriptors after its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import selectors
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from qcfeed.net import listen
from qcfeed.net.acceptor import Acceptor
from qcfeed.net.poller import Poller
from qcfeed.net.transport import Transport
from tests.support.running_service import until
from tests.support.two_transports import MEGABYTE, Recorder


class Counting(selectors.DefaultSelector):
    """Counts the turns of its loop."""

    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        return super().select(timeout)


def turns_at_rest(prepare: Callable[[Transport, socket.socket], Awaitable[None]]) -> int:
    """Turns of a loop in 50 ms with nothing but a transport prepared by ``prepare``."""
    selector = Counting()

    async def main() -> int:
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        with peer:
            poller = Poller(loop)
            transport = Transport(poller, ours, Recorder(stays=True, fails=""))
            await prepare(transport, peer)
            before = selector.turns
            await asyncio.sleep(0.05)
            turns = selector.turns - before
            transport.abort()
            poller.close_when_idle()
            await until(lambda: ours.fileno() == -1, "it is closed")
        return turns

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return runner.run(main())


async def idle(_transport: Transport, _peer: socket.socket) -> None:
    """Nothing is sent."""


async def paused(transport: Transport, peer: socket.socket) -> None:
    transport.pause_reading()
    peer.send(b"waits")


async def full(transport: Transport, _peer: socket.socket) -> None:
    transport.write(bytes(MEGABYTE))


async def full_and_paused(transport: Transport, peer: socket.socket) -> None:
    await paused(transport, peer)
    transport.write(bytes(MEGABYTE))


async def after_the_peers_end(_transport: Transport, peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)
    for _ in range(5):
        await asyncio.sleep(0)


async def drained(transport: Transport, peer: socket.socket) -> None:
    transport.write(bytes(MEGABYTE))
    left = MEGABYTE
    while left:
        left -= len(peer.recv(left))
        await asyncio.sleep(0)
        await asyncio.sleep(0)


AT_REST = [idle, paused, full, full_and_paused, after_the_peers_end, drained]


@pytest.mark.parametrize("prepare", AT_REST, ids=lambda each: each.__name__)
def test_a_blocked_connection_costs_no_turns_of_the_loop(
    prepare: Callable[[Transport, socket.socket], Awaitable[None]],
) -> None:
    """A spinning loop turns thousands of times; an idle one only when its timer is due."""
    assert turns_at_rest(prepare) <= 5


# ---------------------------------------------------------------- descriptors


def descriptors() -> set[str]:
    """The open files of this process."""
    gc.collect()  # or what other tests have left is closed in between
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the directory itself, open while it is read
            found.add(f"{each.name} {each.readlink()}")
    return found


async def test_an_acceptor_that_has_closed_leaves_no_descriptor() -> None:
    before = descriptors()
    bound = listen.bind("127.0.0.1", 0, "--port")
    acceptor = Acceptor(
        asyncio.get_running_loop(), bound, lambda _: Recorder(stays=False, fails="")
    )
    acceptor.start(16)
    assert len(descriptors()) == len(before) + 2, "the socket and the epoll"
    acceptor.close()
    assert descriptors() == before


@asynccontextmanager
async def accepted() -> AsyncIterator[tuple[Transport, Recorder, socket.socket]]:
    """An accepted TCP connection, and its peer."""
    made: list[Recorder] = []

    class Keeping(Recorder):
        transport: Transport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            assert isinstance(transport, Transport)
            self.transport = transport

    def make(_: object) -> Recorder:
        made.append(Keeping(stays=True, fails=""))
        return made[-1]

    bound = listen.bind("127.0.0.1", 0, "--port")
    acceptor = Acceptor(asyncio.get_running_loop(), bound, make)
    acceptor.start(16)
    with socket.create_connection(bound.getsockname()) as peer:
        peer.setblocking(False)
        await until(lambda: made and made[0].seen, "it is accepted")
        protocol = made[0]
        assert isinstance(protocol, Keeping)
        try:
            yield protocol.transport, protocol, peer
        finally:
            acceptor.close()
            protocol.transport.abort()
            await until(lambda: protocol.seen[-1][0] == "lost", "its end is told")


async def test_a_closed_connection_leaves_no_descriptor() -> None:
    before = descriptors()
    async with accepted() as (transport, _, _peer):
        transport.write(bytes(8 * MEGABYTE))
        transport.abort()
    assert descriptors() == before


async def test_aborting_a_connection_with_unsent_bytes_does_not_wait() -> None:
    """Between abort and end the descriptor is not in the epoll, whatever the peer does."""
    async with accepted() as (transport, protocol, peer):
        transport.write(bytes(8 * MEGABYTE))
        transport.abort()
        seen = list(protocol.seen)
        peer.recv(1 << 20)
        await until(lambda: protocol.seen[-1][0] == "lost", "its end is told")
        assert [each[0] for each in protocol.seen[len(seen) :]] == ["lost"]


async def test_reset_frees_the_kernel_s_buffer_at_once() -> None:
    async with accepted() as (transport, _protocol, peer):
        transport.write(bytes(8 * MEGABYTE))
        transport.reset()
        await until(lambda: _is_reset(peer), "the peer is reset")


def _is_reset(peer: socket.socket) -> bool:
    try:
        while peer.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    raise AssertionError("it was closed in order: the kernel still had to send what was unsent")


async def test_the_kernel_s_send_queue_can_be_read() -> None:
    async with accepted() as (transport, _protocol, peer):
        assert transport.get_extra_info("peername") == peer.getsockname()
        assert transport.get_extra_info("sockname") == peer.getpeername()
        assert transport.get_extra_info("socket").getsockname() == peer.getpeername()
        assert transport.get_extra_info("ssl_object") is None
        assert transport.get_extra_info("ssl_object", "none") == "none"
