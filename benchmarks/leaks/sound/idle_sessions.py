"""Clients connect one after the other, and stay. The task of each waits on an outbox of its session.

Looks like: tasks that wait on queues for ever. The open connection is two attributes away from each.
"""

import asyncio

from benchmarks.leaks.program import run


class Channel:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer


class Session:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.outbox: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(self) -> None:
        while True:
            self.channel.writer.write(await self.outbox.get())


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sender = asyncio.create_task(Session(Channel(writer)).send())
    await reader.read()  # until the client disconnects
    sender.cancel()
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
