"""Every forty seconds, maintenance holds the lock of the database for twelve. Queries wait, and go on.

Looks like: everybody piled up behind a lock.
"""

import asyncio

from benchmarks.leaks.program import run


class Database:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    async def maintain(self) -> None:
        while True:
            async with self.lock:
                await asyncio.sleep(12)
            await asyncio.sleep(28)

    async def query(self) -> None:
        async with self.lock:
            await asyncio.sleep(0.01)


async def main(rate: float) -> None:
    database = Database()
    maintenance = asyncio.create_task(database.maintain())
    queries: set[asyncio.Task[None]] = set()
    while not maintenance.done():
        query = asyncio.create_task(database.query())
        queries.add(query)
        query.add_done_callback(queries.discard)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
