"""A batch of five thousand jobs starts at once. Fifty may run at a time, for half a second each.

Looks like: thousands of tasks that wait for one semaphore.
"""

import asyncio

from benchmarks.leaks.program import run


async def convert(permits: asyncio.Semaphore) -> None:
    async with permits:
        await asyncio.sleep(0.5)


async def main(rate: float) -> None:
    while True:
        permits = asyncio.Semaphore(50)
        async with asyncio.TaskGroup() as batch:
            for _ in range(5_000):
                batch.create_task(convert(permits))
        await asyncio.sleep(50 / rate)


if __name__ == "__main__":
    run(main)
