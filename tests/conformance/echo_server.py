"""An echo server made of the service's own parts, for Autobahn's fuzzing client.

Request head, handshake, frames, compression, connection, timeouts, gateway and transport are the service's. Only
the answer differs: each message is sent back, binary ones too, which the service refuses.
"""

from __future__ import annotations

import asyncio

from qcfeed.config import Config
from qcfeed.model import frames
from qcfeed.net import listen
from qcfeed.net.event_loop import new_event_loop
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub
from qcfeed.upstreams.simulator import Simulator
from qcfeed.ws.connection import WebSocketConnection
from qcfeed.ws.inbound import Fragment, Inbound, InboundEvent

LARGEST = 2**25
"""Bytes of the largest message; the suite sends 16 MiB."""
_BINARY = 0x2


class EchoInbound(Inbound):
    """Sends binary messages back as soon as they are complete."""

    def __init__(self, connection: EchoConnection) -> None:
        super().__init__(LARGEST, compressed=connection.compressed)
        self._connection = connection
        self._pieces = bytearray()

    def of_binary(self, piece: bytearray, finished: bool) -> InboundEvent:
        self._pieces += piece
        if finished:
            if self._connection.connected:
                self._connection.write(frames.frame(_BINARY, bytes(self._pieces)))
            self._pieces.clear()
        return Fragment()


class EchoConnection(WebSocketConnection):
    """The service's connection, with binary messages."""

    def new_inbound(self) -> Inbound:
        return EchoInbound(self)


class EchoGateway(Gateway):
    """Sends every message back."""

    connection_class = EchoConnection

    def on_request(self, connection: WebSocketConnection, text: str) -> None:
        connection.write(frames.text(text.encode()))


async def serve() -> None:
    """Serve until the process is ended; the first line of output is the port."""
    config = Config(max_message_size=LARGEST, request_rate=0)
    gateway = EchoGateway(config, Hub(config, Simulator()), None)
    bound = listen.bind("127.0.0.1", 0, "--port")
    port = bound.getsockname()[1]
    await gateway.start(bound)
    print(port, flush=True)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await gateway.drain(0)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve())
