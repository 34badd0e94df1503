"""Calls wait for their turn at two a second. They come faster for a while, and then not at all.

Looks like: a queue of tasks that grows for a minute.
"""

import asyncio

from benchmarks.leaks.program import run


class Bucket:
    def __init__(self) -> None:
        self.free_at = 0.0

    async def take(self) -> None:
        now = asyncio.get_running_loop().time()
        self.free_at = max(now, self.free_at) + 0.5
        await asyncio.sleep(self.free_at - now)


async def call(bucket: Bucket) -> None:
    await bucket.take()


async def main(rate: float) -> None:
    bucket = Bucket()
    while True:
        calls: set[asyncio.Task[None]] = set()
        for _ in range(300):
            calls.add(asyncio.create_task(call(bucket)))
            await asyncio.sleep(1 / rate)
        await asyncio.wait(calls)


if __name__ == "__main__":
    run(main)
