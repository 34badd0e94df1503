"""A request waits up to twenty-five seconds for news, and is then answered without. Clients ask again.

Looks like: requests that hang for tens of seconds before the first of them ends.
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run

CLIENTS = 60


async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    news = asyncio.Event()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(25):
            await news.wait()
    writer.write(b"no news\n")
    writer.close()


async def poll(address: tuple[str, int]) -> None:
    while True:
        reader, writer = await asyncio.open_connection(*address)
        await reader.read()
        writer.close()


async def main(rate: float) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    clients: list[asyncio.Task[None]] = []
    while True:
        if len(clients) < CLIENTS:
            clients.append(asyncio.create_task(poll(server.sockets[0].getsockname())))
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
