"""Everybody waits for a lock. Its holder waits for a connection that is never established.

Public bug: https://github.com/Fatal1ty/aioapns/issues/42
"""

import asyncio

from benchmarks.leaks.program import run


class Client:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.connection: str | None = None
        self.connected: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def notify(self) -> str:
        async with self.lock:  # waits
            if self.connection is None:
                self.connection = await self.connected  # waits
        return self.connection


async def main(rate: float) -> None:
    client = Client()
    requests = set()
    while True:
        requests.add(asyncio.create_task(client.notify()))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
