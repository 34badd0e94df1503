"""Forty schedules run for ever. Each starts a short job every ten seconds.

Looks like: forty old tasks that never end, at a place that goes on creating tasks.
"""

import asyncio

from benchmarks.leaks.program import run


async def clean_up() -> None:
    await asyncio.sleep(0.2)


async def schedule(every: float, offset: float) -> None:
    await asyncio.sleep(offset)
    while True:
        job = asyncio.create_task(clean_up())
        await asyncio.sleep(every)
        await job


async def main(rate: float) -> None:
    number = 40
    schedules = [asyncio.create_task(schedule(number / rate, n / rate)) for n in range(number)]
    await asyncio.wait(schedules)


if __name__ == "__main__":
    run(main)
