"""Each call opens a connection. The caller gives up after a while, and closes neither it nor its reader.

The tasks hold one open connection each, as the tasks of live clients would. Nobody waits for these tasks.

Public bug: https://github.com/facebookarchive/doh-proxy/issues/76
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


class Call:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.answered = asyncio.Event()

    async def read(self) -> None:
        await self.reader.readline()  # waits
        self.answered.set()

    async def run(self, timeout: float) -> None:
        asyncio.create_task(self.read())  # leak
        self.writer.write(b"query\n")
        async with asyncio.timeout(timeout):
            await self.answered.wait()
        self.writer.close()


async def main(rate: float) -> None:
    async def never_answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    calls: list[Call] = []
    while True:
        with contextlib.suppress(TimeoutError):
            calls.append(Call(*await asyncio.open_connection(*server.sockets[0].getsockname())))
            await calls[-1].run(1 / rate)


if __name__ == "__main__":
    run(main)
