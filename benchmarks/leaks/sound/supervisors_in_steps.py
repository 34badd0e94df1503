"""Tenants are loaded in steps, fifty every twenty seconds, two hundred in all. A supervisor of each waits for its orders.

Looks like: bursts of tasks that never end, again and again.
"""

import asyncio

from benchmarks.leaks.program import run

STEP, STEPS = 50, 4


class Tenant:
    def __init__(self) -> None:
        self.orders: asyncio.Queue[str] = asyncio.Queue()

    async def supervise(self) -> None:
        while await self.orders.get():
            pass


async def main(rate: float) -> None:
    tenants: list[Tenant] = []
    supervisors: list[asyncio.Task[None]] = []
    for _ in range(STEPS):
        for _ in range(STEP):
            tenants.append(Tenant())
            supervisors.append(asyncio.create_task(tenants[-1].supervise()))
        await asyncio.sleep(100 / rate)
    await asyncio.wait(supervisors)


if __name__ == "__main__":
    run(main)
