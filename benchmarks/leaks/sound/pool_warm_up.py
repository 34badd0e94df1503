"""A pool opens a hundred connections to its database, one after the other, and keeps a reader on each.

Looks like: tasks that are created at a steady rate and never end, each with a connection that the program has opened.
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        await reader.read()


async def read(reader: asyncio.StreamReader) -> None:
    while await reader.read(100):
        pass


async def main(rate: float) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool: list[tuple[asyncio.StreamWriter, asyncio.Task[None]]] = []
    while True:
        if len(pool) < 100:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            pool.append((writer, asyncio.create_task(read(reader))))
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
