"""One script played on two transports, asyncio's own and ours, and everything that can be seen of it.

Both stand on a real pair of Unix sockets, where what one end does is at once so at the other: a script
needs no waiting, and whatever happens in a step has happened when the loop has nothing left to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from typing import Any

from qcfeed.net.poller import Poller
from qcfeed.net.transport import Transport

MEGABYTE = 1 << 20
"""Far more than the kernel accepts."""
QUIET = 4
"""After this many idle turns of the loop nothing more will happen."""

Step = tuple[str, Any]
Seen = list[tuple[str, ...]]


class Recorder(asyncio.Protocol):
    """Records its calls. ``stays``: keep the connection after EOF; ``fails``: the method that raises."""

    def __init__(self, stays: bool, fails: str) -> None:
        self.stays = stays
        self.fails = fails
        self.seen: Seen = []
        self.heard = b""

    def _note(self, what: str, *more: str) -> None:
        self.seen.append((what, *more))
        if self.fails == what:
            raise ArithmeticError(what)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if not self.seen or self.seen[-1] != ("data",):
            self._note("data")

    def eof_received(self) -> bool:
        self._note("eof")
        return self.stays

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self._note("lost", type(exc).__name__)


class Play:
    """One transport under test. The steps are methods; each returns what is compared."""

    def __init__(self, protocol: Recorder, peer: socket.socket) -> None:
        self.protocol = protocol
        self.peer = peer
        self.transport: asyncio.Transport
        self.received = b""
        self.complaints: list[str] = []

    async def step(self, name: str, argument: Any) -> dict[str, Any]:
        """The call's result or error, the protocol's calls during and after it, and the state."""
        before = len(self.protocol.seen)
        try:
            result = getattr(self, name)(argument)
        except Exception as error:  # noqa: BLE001 - compared with what the other raised
            result = type(error).__name__
        at_once = self.protocol.seen[before:]
        await self.settle()
        told = self.protocol.seen[before:]
        return {
            "step": name,
            "result": result,
            "told at once": at_once,
            "told": told,
            **self.state(),
        }

    def is_over(self) -> bool:
        return any(each[0] == "lost" for each in self.protocol.seen)

    async def settle(self) -> None:
        quiet = 0
        while quiet < QUIET:
            before = (len(self.protocol.seen), len(self.protocol.heard))
            await asyncio.sleep(0)
            quiet = (
                quiet + 1 if before == (len(self.protocol.seen), len(self.protocol.heard)) else 0
            )

    def state(self) -> dict[str, Any]:
        transport = self.transport
        return {
            "closing": transport.is_closing(),
            "unsent": transport.get_write_buffer_size() > 0,
            "limits": transport.get_write_buffer_limits(),
            "its protocol": transport.get_protocol() is self.protocol,
            "heard": self.protocol.heard,
            "the peer has": len(self.received),
            "bugs": list(self.complaints),
        }

    # ------------------------------------------------------------ on the transport

    def write(self, size: int) -> None:
        self.transport.write(bytes(size))

    def writelines(self, sizes: Sequence[int]) -> None:
        self.transport.writelines([bytes(size) for size in sizes])

    def write_text(self, text: Any) -> None:
        self.transport.write(text)

    def write_eof(self, _: None) -> None:
        self.transport.write_eof()

    def close(self, _: None) -> None:
        self.transport.close()

    def abort(self, _: None) -> None:
        self.transport.abort()

    def pause_reading(self, _: None) -> None:
        self.transport.pause_reading()

    def resume_reading(self, _: None) -> None:
        self.transport.resume_reading()

    def is_reading(self, _: None) -> bool:
        return self.transport.is_reading()

    def limits(self, limits: tuple[int | None, int | None]) -> None:
        self.transport.set_write_buffer_limits(*limits)

    def info(self, name: str) -> object:
        found = self.transport.get_extra_info(name, "nothing")
        return found if name != "socket" else found.fileno() >= 0

    def can_write_eof(self, _: None) -> bool:
        return self.transport.can_write_eof()

    # ------------------------------------------------------------ at the other end

    def peer_sends(self, data: bytes) -> int:
        return self.peer.send(data)

    def peer_reads(self, most: int) -> int:
        """Read up to ``most`` bytes; returns whether there were any."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while len(data) < most and (piece := self.peer.recv(most - len(data))):
                data += piece
        self.received += data
        return len(data) > 0

    def peer_ends(self, _: None) -> None:
        self.peer.shutdown(socket.SHUT_WR)

    def peer_sees_the_end(self, _: None) -> str:
        try:
            return "data" if self.peer.recv(1, socket.MSG_PEEK) else "end"
        except BlockingIOError:
            return "nothing"

    def peer_goes(self, _: None) -> None:
        """Close the peer; with unread bytes at its end this resets the connection."""
        self.peer.close()


async def play(
    kind: str, script: Sequence[Step], *, stays: bool, fails: str
) -> list[dict[str, Any]]:
    """The observations of each step on a transport of this kind: ``asyncio`` or ``ours``."""
    loop = asyncio.get_running_loop()
    sock, peer = socket.socketpair()
    sock.setblocking(False)
    peer.setblocking(False)
    played = Play(Recorder(stays, fails), peer)
    loop.set_exception_handler(lambda _, about: played.complaints.append("a bug"))
    logged = logging.Handler()
    logged.emit = lambda _: played.complaints.append("a bug")  # type: ignore[method-assign]
    logging.getLogger("qcfeed.transport").addHandler(logged)
    poller = None
    if kind == "asyncio":
        played.transport, _ = await loop.connect_accepted_socket(lambda: played.protocol, sock)
    else:
        poller = Poller(loop)
        played.transport = Transport(poller, sock, played.protocol)
    try:
        return [await played.step(name, argument) for name, argument in script]
    finally:
        if not played.is_over():
            played.transport.abort()
        await played.settle()
        peer.close()
        if poller is not None:
            poller.close_when_idle()
        assert [each[0] for each in played.protocol.seen].count("lost") == 1, "told just once"
        assert sock.fileno() == -1, "the socket is closed"
        loop.set_exception_handler(None)
        logging.getLogger("qcfeed.transport").removeHandler(logged)
