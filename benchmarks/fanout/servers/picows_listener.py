"""picows: one listener per connection, and ``send`` on each transport."""

from __future__ import annotations

import asyncio

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from benchmarks.fanout.servers.source import Room, Source, arguments, ready

room = Room()


class Reader(WSListener):
    def __init__(self, symbol: str) -> None:
        self.symbol = symbol

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, room.latest[self.symbol])
        room.readers[self.symbol].add(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        room.readers[self.symbol].discard(transport)


def accept(request: WSUpgradeRequest) -> Reader:
    return Reader(request.path.decode().rpartition("/")[2])


def deliver(readers: set[WSTransport], quote: bytes) -> None:
    for transport in readers:
        transport.send(WSMsgType.TEXT, quote)


async def main(source: Source) -> None:
    server = await ws_create_server(accept, "127.0.0.1", 0, backlog=4096)
    ready(server.sockets[0].getsockname()[1])
    await room.fill(source, deliver)


if __name__ == "__main__":
    asyncio.run(main(arguments()))
