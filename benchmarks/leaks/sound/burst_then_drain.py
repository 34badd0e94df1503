"""Once in a while, fifteen hundred orders come within ten seconds. They are worked off in turn, fifty a second.

Looks like: tasks that pile up behind one lock.
"""

import asyncio

from benchmarks.leaks.program import run


async def book(ledger: asyncio.Lock) -> None:
    async with ledger:
        await asyncio.sleep(0.02)


async def main(rate: float) -> None:
    ledger = asyncio.Lock()
    while True:
        orders: set[asyncio.Task[None]] = set()
        for _ in range(1_500):
            orders.add(asyncio.create_task(book(ledger)))
            await asyncio.sleep(0.03 / rate)
        await asyncio.wait(orders)


if __name__ == "__main__":
    run(main)
