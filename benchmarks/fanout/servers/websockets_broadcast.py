"""websockets with ``broadcast``, which its documentation recommends for this."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.fanout.servers.source import Room, Source, arguments, ready

room = Room()


async def quotes(websocket: ServerConnection) -> None:
    assert websocket.request is not None
    symbol = websocket.request.path.rpartition("/")[2]
    await websocket.send(room.latest[symbol].decode())
    room.readers[symbol].add(websocket)
    try:
        await websocket.wait_closed()
    finally:
        room.readers[symbol].discard(websocket)


def deliver(readers: set[ServerConnection], quote: bytes) -> None:
    broadcast(readers, quote.decode())


async def main(source: Source) -> None:
    async with serve(quotes, "127.0.0.1", 0, compression=None, backlog=4096) as server:
        ready(server.sockets[0].getsockname()[1])
        await room.fill(source, deliver)


if __name__ == "__main__":
    asyncio.run(main(arguments()))
