"""Sessions come and go: each lasts twenty to forty seconds, and has a task that pings. Both end with it.

Looks like: a keep-alive task per session, of which many are older than those that have ended so far.
"""

import asyncio
import random

from benchmarks.leaks.program import run


class Session:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    async def send_pings(self) -> None:
        while True:
            await asyncio.sleep(2)
            self.writer.write(b"ping\n")

    async def run(self, seconds: float) -> None:
        pings = asyncio.create_task(self.send_pings())
        try:
            await asyncio.sleep(seconds)
        finally:
            pings.cancel()
            self.writer.close()


async def main(rate: float) -> None:
    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client disconnects
        writer.close()

    server = await asyncio.start_server(read, "127.0.0.1", 0)
    sessions: set[asyncio.Task[None]] = set()
    while True:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        session = asyncio.create_task(Session(writer).run(random.uniform(20, 40)))
        sessions.add(session)
        session.add_done_callback(sessions.discard)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
