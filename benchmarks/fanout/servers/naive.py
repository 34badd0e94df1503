"""aiohttp as in its documentation: one handler per connection, and a loop of ``send_str``."""

from __future__ import annotations

import asyncio

from aiohttp import web

from benchmarks.fanout.servers.source import Room, Source, arguments, ready, server_context

room = Room()


async def quotes(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    symbol = request.match_info["symbol"]
    await websocket.send_str(room.latest[symbol].decode())
    room.readers[symbol].add(websocket)
    try:
        async for _ in websocket:
            pass
    finally:
        room.readers[symbol].discard(websocket)
    return websocket


async def deliver(readers: set[web.WebSocketResponse], quote: bytes) -> None:
    text = quote.decode()
    for websocket in list(readers):
        try:
            await websocket.send_str(text)
        except ConnectionError:
            readers.discard(websocket)


async def main(source: Source) -> None:
    app = web.Application()
    app.add_routes([web.get("/quotes/{symbol}", quotes)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    context = server_context(source.tls) if source.tls else None
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096, ssl_context=context).start()
    ready(runner.addresses[0][1])
    await room.fill(source, deliver)


if __name__ == "__main__":
    asyncio.run(main(arguments()))
