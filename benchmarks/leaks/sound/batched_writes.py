"""Each write waits until its batch is flushed. A batch is flushed every fifteen seconds.

Looks like: a growing number of tasks that wait on one event, which has not been set yet.
"""

import asyncio

from benchmarks.leaks.program import run


class Batch:
    def __init__(self) -> None:
        self.flushed = asyncio.Event()


class Store:
    def __init__(self) -> None:
        self.batch = Batch()

    async def write(self) -> None:
        await self.batch.flushed.wait()

    async def flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(15)
            self.batch.flushed.set()
            self.batch = Batch()


async def main(rate: float) -> None:
    store = Store()
    flusher = asyncio.create_task(store.flush_regularly())
    writes: set[asyncio.Task[None]] = set()
    while not flusher.done():
        write = asyncio.create_task(store.write())
        writes.add(write)
        write.add_done_callback(writes.discard)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
