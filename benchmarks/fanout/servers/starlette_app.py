"""Starlette on uvicorn, with uvloop and httptools as in ``uvicorn[standard]``."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.fanout.servers.source import Room, arguments, ready

room = Room()


async def quotes(websocket: WebSocket) -> None:
    symbol = websocket.path_params["symbol"]
    await websocket.accept()
    try:
        await websocket.send_text(room.latest[symbol].decode())
        room.readers[symbol].add(websocket)
        while True:
            await websocket.receive()
            if websocket.client_state.name == "DISCONNECTED":
                break
    except WebSocketDisconnect:
        pass
    finally:
        room.readers[symbol].discard(websocket)


async def deliver(readers: set[WebSocket], quote: bytes) -> None:
    text = quote.decode()
    for websocket in list(readers):
        try:
            await websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError):
            readers.discard(websocket)


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    filling = asyncio.create_task(room.fill(source, deliver))
    ready(listener.getsockname()[1])
    yield
    filling.cancel()


if __name__ == "__main__":
    source = arguments()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    app = Starlette(routes=[WebSocketRoute("/quotes/{symbol}", quotes)], lifespan=lifespan)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws_per_message_deflate=False, backlog=4096
    )
    uvicorn.Server(config).run(sockets=[listener])
