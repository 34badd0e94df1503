"""A Starlette application streams events. Each connection starts another task that watches for the shutdown.

Public bug: https://github.com/sysid/sse-starlette/issues/152
Packages: sse-starlette==3.1.1 uvicorn==0.34.0
Library: sse_starlette/sse.py, `loop.create_task(_shutdown_watcher())`
Library: sse_starlette/sse.py, `await anyio.sleep(0.5)`
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.leaks.program import run


async def events() -> AsyncIterator[str]:
    yield "price"


async def stream(_: Request) -> EventSourceResponse:
    return EventSourceResponse(events())


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the benchmark ends the program


async def main(rate: float) -> None:
    application = Starlette(routes=[Route("/", stream)])
    config = uvicorn.Config(
        application, host="127.0.0.1", port=0, log_level="critical", ws="none", lifespan="off"
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    address = server.servers[0].sockets[0].getsockname()
    while not serving.done():
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
