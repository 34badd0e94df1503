"""A connection waits for "the next message or the end". At its end, the wait for a message goes on.

Public bug: https://github.com/python-websockets/websockets/pull/34
"""

import asyncio

from benchmarks.leaks.program import run


class Connection:
    def __init__(self) -> None:
        self.messages: asyncio.Queue[str] = asyncio.Queue()

    async def transfer(self, seconds: float) -> None:
        await self.messages.put("hello")
        await asyncio.sleep(seconds)

    async def serve(self, seconds: float) -> None:
        worker = asyncio.create_task(self.transfer(seconds))
        while not worker.done():
            message = asyncio.create_task(self.messages.get())  # leak
            await asyncio.wait({message, worker}, return_when=asyncio.FIRST_COMPLETED)


async def main(rate: float) -> None:
    connections = []
    while True:
        connections.append(Connection())
        await connections[-1].serve(1 / rate)


if __name__ == "__main__":
    run(main)
