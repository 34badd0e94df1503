"""Each connection has a task for its commands, which goes on waiting for one when the connection has ended.

Public bug: https://github.com/gertvdijk/purepythonmilter/issues/22
"""

import asyncio

from benchmarks.leaks.program import run

consumers: set[asyncio.Task[None]] = set()


async def consume(commands: asyncio.Queue[bytes]) -> None:
    while (await commands.get()) != b"QUIT\n":  # waits
        pass


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    commands: asyncio.Queue[bytes] = asyncio.Queue()
    consumers.add(asyncio.create_task(consume(commands)))  # leak
    while command := await reader.readline():
        await commands.put(command)
    writer.close()


async def main(rate: float) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    while True:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"CONNECT\nABORT\n")
        await asyncio.sleep(1 / rate)
        writer.close()


if __name__ == "__main__":
    run(main)
