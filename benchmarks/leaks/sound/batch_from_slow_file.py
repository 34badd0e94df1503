"""A file is read line by line, ten a second. Each line is a job, and four of them run at a time, for ninety seconds each.

Looks like: tasks that are created at a steady rate and wait for one semaphore; none ends for a long time.
"""

import asyncio

from benchmarks.leaks.program import run


async def transcode(permits: asyncio.Semaphore) -> None:
    async with permits:
        await asyncio.sleep(90)


async def main(rate: float) -> None:
    permits = asyncio.Semaphore(4)
    async with asyncio.TaskGroup() as batch:
        for _ in range(800):
            batch.create_task(transcode(permits))
            await asyncio.sleep(0.5 / rate)


if __name__ == "__main__":
    run(main)
