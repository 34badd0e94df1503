"""A hundred and fifty customers are loaded, one after the other. Each has a job that runs once an hour, for ever.

Looks like: tasks that are created at a steady rate, sleep in an endless loop, and never end.
"""

import asyncio

from benchmarks.leaks.program import run


class Customer:
    def __init__(self) -> None:
        self.invoices = 0

    async def bill_hourly(self) -> None:
        while True:
            await asyncio.sleep(3600)
            self.invoices += 1


async def main(rate: float) -> None:
    jobs: list[asyncio.Task[None]] = []
    while True:
        if len(jobs) < 150:
            jobs.append(asyncio.create_task(Customer().bill_hourly()))
        await asyncio.sleep(0.2 / rate)


if __name__ == "__main__":
    run(main)
