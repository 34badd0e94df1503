"""A pinger finds its connection in a context variable. The connection closes; the pinger goes on.

Common fault: a task per connection that nothing ties to its end.
"""

import asyncio
import contextvars

from benchmarks.leaks.program import run

pinged: contextvars.ContextVar[asyncio.StreamWriter] = contextvars.ContextVar("pinged")
pingers: set[asyncio.Task[None]] = set()


async def ping() -> None:
    while True:
        await asyncio.sleep(4)  # waits
        if not pinged.get().is_closing():
            pinged.get().write(b"ping")


async def main(rate: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pinged.set(writer)
        pingers.add(asyncio.create_task(ping()))  # leak
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    while True:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await asyncio.sleep(1 / rate)
        writer.close()


if __name__ == "__main__":
    run(main)
