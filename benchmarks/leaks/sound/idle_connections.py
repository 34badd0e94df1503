"""Clients connect one after the other, and stay. Each connection has a task that waits for a request.

Looks like: tasks that are created at a steady rate and never end. Each holds an open connection.
"""

import asyncio

from benchmarks.leaks.program import run


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while request := await reader.readline():
        writer.write(request)
    writer.close()


async def main(rate: float) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    clients = []
    while True:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        clients.append(writer)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
