"""A crawler starts a task per link of a page, a hundred at a time. Five of them may fetch at once.

Looks like: a hundred tasks that wait for a semaphore.
"""

import asyncio

from benchmarks.leaks.program import run

LINKS = 100


async def fetch(slots: asyncio.Semaphore, seconds: float) -> None:
    async with slots:
        await asyncio.sleep(seconds)


async def main(rate: float) -> None:
    slots = asyncio.Semaphore(5)
    while True:
        fetches = [asyncio.create_task(fetch(slots, 5 / rate)) for _ in range(LINKS)]
        await asyncio.wait(fetches)


if __name__ == "__main__":
    run(main)
