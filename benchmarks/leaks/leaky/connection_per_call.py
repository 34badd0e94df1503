"""Each call opens a connection. The caller gives up after a while, and closes neither it nor its reader.

The tasks hold one open connection each, as the tasks of live clients would. Nobody waits for these tasks.

Public bug: https://github.com/facebookarchive/doh-proxy/issues/76
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


class Call:
    def __init__(self) -> None:
        self.answered = asyncio.Event()

    async def read(self, reader: asyncio.StreamReader) -> None:
        await reader.readline()  # waits
        self.answered.set()

    async def run(self, address: tuple[str, int], timeout: float) -> None:
        reader, writer = await asyncio.open_connection(*address)
        asyncio.create_task(self.read(reader))  # leak
        writer.write(b"query\n")
        async with asyncio.timeout(timeout):
            await self.answered.wait()
        writer.close()


async def main(rate: float) -> None:
    async def never_answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    while True:
        with contextlib.suppress(TimeoutError):
            await Call().run(server.sockets[0].getsockname(), 1 / rate)


if __name__ == "__main__":
    run(main)
