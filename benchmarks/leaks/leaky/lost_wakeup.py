"""A job is notified before it waits. The notification is lost, and no second one comes.

Public bug: https://github.com/python/cpython/issues/112202
"""

import asyncio

from benchmarks.leaks.program import run


class Job:
    def __init__(self) -> None:
        self.data_came = asyncio.Condition()

    async def process(self) -> None:
        async with self.data_came:
            await self.data_came.wait()  # waits

    async def deliver(self) -> None:
        async with self.data_came:
            self.data_came.notify()


async def main(rate: float) -> None:
    jobs: list[tuple[Job, asyncio.Task[None]]] = []
    while True:
        job = Job()
        await job.deliver()
        jobs.append((job, asyncio.create_task(job.process())))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
