"""Jobs come in faster than they are done, for twenty seconds. Then fewer come, and the backlog drains.

Looks like: a growing number of tasks that wait for a semaphore.
"""

import asyncio

from benchmarks.leaks.program import run


async def convert(slots: asyncio.Semaphore, seconds: float) -> None:
    async with slots:
        await asyncio.sleep(seconds)


async def main(rate: float) -> None:
    slots = asyncio.Semaphore(4)
    jobs: set[asyncio.Task[None]] = set()
    done_per_second = 2 * rate
    while True:
        for seconds, jobs_per_second in ((20, 3 * rate), (40, rate)):
            for _ in range(int(seconds * jobs_per_second)):
                job = asyncio.create_task(convert(slots, 4 / done_per_second))
                jobs.add(job)
                job.add_done_callback(jobs.discard)
                await asyncio.sleep(1 / jobs_per_second)


if __name__ == "__main__":
    run(main)
