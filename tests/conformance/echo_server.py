"""An echo server made of the service's own parts, for Autobahn's fuzzing client.

Request head, handshake, frames, compression, connection and transport are the service's. Only the answer
differs: each message is sent back, binary ones too, which the service refuses.
"""

from __future__ import annotations

import asyncio
import socket
import sys

from qcfeed.config import Config
from qcfeed.model import frames
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.net import listen
from qcfeed.net.acceptor import Acceptor, Address
from qcfeed.net.event_loop import new_event_loop
from qcfeed.server.timeouts import Timeouts
from qcfeed.ws.compression import Deflater
from qcfeed.ws.connection import Connection
from qcfeed.ws.handshake import Accepted, check_upgrade
from qcfeed.ws.inbound import Inbound, InboundEvent
from qcfeed.ws.pending import PendingConnection
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import Head

LARGEST = 2**25
"""Bytes of the largest message; the suite sends 16 MiB."""
_BINARY = 0x2


class EchoInbound(Inbound):
    """Sends binary messages back as soon as they are complete."""

    def __init__(self, connection: EchoConnection) -> None:
        super().__init__(LARGEST, compressed=connection.compressed)
        self._connection = connection
        self._pieces = bytearray()

    def of_binary(self, piece: bytearray, finished: bool) -> InboundEvent | None:
        self._pieces += piece
        if finished:
            if self._connection.connected:
                self._connection.write(frames.frame(_BINARY, bytes(self._pieces)))
            self._pieces.clear()
        return None


class EchoConnection(Connection):
    """The service's connection, with binary messages."""

    def new_inbound(self) -> Inbound:
        return EchoInbound(self)


class EchoHost:
    """Both hosts of the connections: accepts every upgrade and sends every message back."""

    def __init__(self) -> None:
        self.now = asyncio.get_running_loop().time
        self.http_protocol = None
        self.config = Config(max_message_size=LARGEST, send_buffer=LARGEST)
        self.policy = SlowConsumerPolicy.CONFLATE
        self.deflater = Deflater()
        self.pending: dict[PendingConnection, None] = {}
        self.connections: set[Connection] = set()
        self.timeouts = Timeouts(self.config, self.pending)

    def on_accepted(self, pending: PendingConnection) -> None:
        self.pending[pending] = None

    def on_finished(self, pending: PendingConnection) -> None:
        self.pending.pop(pending, None)

    def admit(self, pending: PendingConnection, head: Head) -> Accepted | Refusal:
        return check_upgrade(head)

    def admit_http(self, pending: PendingConnection, head: Head) -> None:
        """Refused anyway: there is no HTTP server to hand it to."""

    def accept_upgrade(self, pending: PendingConnection, accepted: Accepted) -> Connection:
        connection = EchoConnection(self, pending, accepted)
        self.connections.add(connection)
        self.timeouts.add(connection)
        return connection

    def on_refused(self, pending: PendingConnection, reason: str) -> None:
        print(f"refused: {reason}", file=sys.stderr)

    def on_closed(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.timeouts.discard(connection)

    def on_request(self, connection: Connection, text: str) -> None:
        connection.write(frames.text(text.encode()))

    def on_caught_up(self, connection: Connection) -> None:
        """There are no quotes to catch up with."""

    def count_close(self, why: str) -> None:
        """Nothing is counted."""


async def serve() -> None:
    """Serve until the process is ended; the first line of output is the port."""
    bound = listen.bind("127.0.0.1", 0, "--port")
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host = EchoHost()

    def pending(address: Address) -> PendingConnection:
        return PendingConnection(host, 0, address)

    acceptor = Acceptor(asyncio.get_running_loop(), bound, pending)
    acceptor.start(listen.BACKLOG)
    host.timeouts.start()
    print(bound.getsockname()[1], flush=True)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        acceptor.close()
        host.timeouts.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve())
