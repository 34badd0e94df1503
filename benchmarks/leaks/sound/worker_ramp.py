"""A pool grows to eighty workers and then stays as it is. All of them take jobs from one queue.

Looks like: tasks that are created at a steady rate and never end.
"""

import asyncio

from benchmarks.leaks.program import run


async def work(jobs: asyncio.Queue[int]) -> None:
    while True:
        await jobs.get()
        await asyncio.sleep(0.5)


async def main(rate: float) -> None:
    jobs: asyncio.Queue[int] = asyncio.Queue()
    workers: list[asyncio.Task[None]] = []
    while True:
        if len(workers) < 80:
            workers.append(asyncio.create_task(work(jobs)))
        for job in range(len(workers) // 4):
            jobs.put_nowait(job)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
