"""The number of subscribers rises and rises, and all of them are live: each gets every price.

Looks like: a listener per client, as after a leak. Each writes to an open connection that somebody reads.
"""

import asyncio

from benchmarks.leaks.program import run


class Topic:
    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[bytes]] = set()

    async def subscribe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.queues.add(queue)
        forward = asyncio.create_task(self.forward(queue, writer))
        await reader.read()  # until the client disconnects
        forward.cancel()
        self.queues.discard(queue)

    async def forward(self, queue: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(await queue.get())

    async def publish(self) -> None:
        while True:
            await asyncio.sleep(1)
            for queue in self.queues:
                queue.put_nowait(b"price\n")


async def main(rate: float) -> None:
    topic = Topic()
    server = await asyncio.start_server(topic.subscribe, "127.0.0.1", 0)
    publisher = asyncio.create_task(topic.publish())
    clients = []
    while not publisher.done():
        clients.append(await asyncio.open_connection(*server.sockets[0].getsockname()))
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
