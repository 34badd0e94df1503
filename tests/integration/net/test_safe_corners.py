"""Fallbacks for limits of the kernel and for private parts of the standard library."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import resource
import selectors
import socket
from collections.abc import Callable, Iterator

import pytest

from qcfeed.net import event_loop as selectors_of_ours
from qcfeed.net import listen
from qcfeed.net.acceptor import Acceptor, SocketAddress, raw_accept
from qcfeed.net.event_loop import PreciseSelector
from qcfeed.net.transport import Transport
from tests.support.running_service import until

FD_SETSIZE = 1_024


@pytest.fixture
def no_low_descriptor() -> Iterator[None]:
    """Make the next descriptors too high for select(2)."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= FD_SETSIZE + 10:
        pytest.skip("this user may not open so many files")
    opened: list[int] = []
    while not opened or opened[-1] < FD_SETSIZE:
        opened.append(os.open(os.devnull, os.O_RDONLY))
    yield
    for each in opened:
        os.close(each)


def test_a_loop_with_a_high_descriptor_still_waits_and_says_that_it_is_less_precise(
    no_low_descriptor: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "qcfeed.selector"):
        loop = selectors_of_ours.new_event_loop()
    try:
        began = loop.time()
        loop.run_until_complete(asyncio.sleep(0.002))
        assert loop.time() - began >= 0.002
    finally:
        loop.close()
    assert "select(2) supports only those below 1,024" in caplog.text


def test_a_selector_with_a_high_descriptor_waits_in_milliseconds(no_low_descriptor: None) -> None:
    high = PreciseSelector()
    assert high.fileno() >= FD_SETSIZE
    assert not high.precise
    assert high.select(0.0001) == []
    high.close()


def test_a_loop_with_a_low_descriptor_is_precise_and_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with PreciseSelector() as low:
        assert low.fileno() < FD_SETSIZE
        assert low.precise
    assert caplog.text == ""


def test_something_that_is_ready_ends_the_wait_of_a_loop_with_a_high_descriptor(
    no_low_descriptor: None,
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, PreciseSelector() as high:
        high.register(ours, selectors.EVENT_READ)
        theirs.send(b"x")
        ((key, events),) = high.select(3_600)
        assert (key.fileobj, events) == (ours, selectors.EVENT_READ)


# ---------------------------------------------------------------- socket._accept


def test_the_private_accept_method_still_exists() -> None:
    """If this fails, accepting still works with the public method, for 3 us more per connection."""
    assert callable(getattr(socket.socket, "_accept", None)), (
        "socket._accept has gone from this Python: `raw_accept` uses socket.accept() now;"
        " measure connections per second (make bench) and remove the private step"
    )


class WithoutPrivateStep:
    """A listening socket of a Python version without ``_accept``."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def __getattr__(self, name: str) -> object:
        if name == "_accept":
            raise AttributeError(name)
        return getattr(self._listener, name)


LISTENERS: list[Callable[[socket.socket], object]] = [lambda sock: sock, WithoutPrivateStep]


@pytest.mark.parametrize("made", LISTENERS, ids=["private", "public"])
def test_both_accept_methods_return_the_descriptor_and_the_peer(
    made: Callable[[socket.socket], object],
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as peer,
    ):
        descriptor, address = raw_accept(made(listener))()  # type: ignore[arg-type]
        with socket.socket(fileno=descriptor) as accepted:
            assert accepted.getpeername() == peer.getsockname() == address
            assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC, "no child inherits it"


@pytest.mark.parametrize("made", LISTENERS, ids=["private", "public"])
def test_both_accept_methods_raise_when_no_connection_waits(
    made: Callable[[socket.socket], object],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError) as raised:
            raw_accept(made(listener))()  # type: ignore[arg-type]
    assert raised.value.errno == errno.EAGAIN


async def test_connections_are_accepted_without_the_private_method() -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.close(data)

    addresses: list[SocketAddress] = []

    def make(address: SocketAddress) -> Echo:
        addresses.append(address)
        return Echo()

    bound = listen.bind("127.0.0.1", 0, "--port")
    acceptor = Acceptor(asyncio.get_running_loop(), WithoutPrivateStep(bound), make)  # type: ignore[arg-type]
    acceptor.start(16)
    try:
        with socket.create_connection(bound.getsockname()) as peer:
            peer.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(peer, b"hello")
            assert await asyncio.get_running_loop().sock_recv(peer, 100) == b"hello"
            await until(lambda: addresses == [peer.getsockname()], "its address is known")
    finally:
        acceptor.close()
