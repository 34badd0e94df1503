"""Three hundred workers are created at the start. Nearly all of them are always idle.

Looks like: hundreds of tasks that wait on one queue and never end.
"""

import asyncio

from benchmarks.leaks.program import run


async def work(jobs: asyncio.Queue[int]) -> None:
    while True:
        await jobs.get()
        await asyncio.sleep(0.1)


async def main(rate: float) -> None:
    jobs: asyncio.Queue[int] = asyncio.Queue()
    workers = [asyncio.create_task(work(jobs)) for _ in range(300)]
    while not workers[0].done():
        jobs.put_nowait(1)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
