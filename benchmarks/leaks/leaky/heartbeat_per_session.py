"""A session starts heartbeats and stops them at its regular end. A broken connection is not a regular end.

Public bug: https://github.com/embl-bio-it/python-mattermost-autodriver/issues/36
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


class Session:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.missed = 0

    async def send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(5)  # waits
            self.missed += 1

    async def run(self) -> None:
        heartbeats = asyncio.create_task(self.send_heartbeats())  # leak
        while True:
            message = await self.reader.readexactly(4)
            if message == b"quit":
                break
        heartbeats.cancel()


async def main(rate: float) -> None:
    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"pi")
        writer.close()

    server = await asyncio.start_server(break_off, "127.0.0.1", 0)
    while True:
        streams = await asyncio.open_connection(*server.sockets[0].getsockname())
        with contextlib.suppress(asyncio.IncompleteReadError):
            await Session(*streams).run()
        streams[1].close()
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
