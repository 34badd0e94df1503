"""Each batch waits until its queue is done. The worker takes the items and never says so.

Public bug: https://github.com/RaoFoundation/async-substrate-interface/pull/206
"""

import asyncio

from benchmarks.leaks.program import run


class Batch:
    def __init__(self) -> None:
        self.items: asyncio.Queue[int] = asyncio.Queue()

    async def finish(self) -> None:
        for item in range(3):
            self.items.put_nowait(item)
        await self.items.join()  # waits

    async def work(self) -> None:
        for _ in range(3):
            await self.items.get()


async def main(rate: float) -> None:
    batches: list[tuple[Batch, asyncio.Task[None]]] = []
    while True:
        batch = Batch()
        batches.append((batch, asyncio.create_task(batch.finish())))  # leak
        await batch.work()
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
