"""Each order passes through twelve steps, ten seconds apart, and is then done.

Looks like: tasks that sleep again and again in a loop, and live for two minutes before the first of them ends.
"""

import asyncio

from benchmarks.leaks.program import run


class Order:
    def __init__(self) -> None:
        self.step = 0

    async def follow(self) -> None:
        for step in range(12):
            self.step = step
            await asyncio.sleep(10)


async def main(rate: float) -> None:
    orders: set[asyncio.Task[None]] = set()
    while True:
        order = asyncio.create_task(Order().follow())
        orders.add(order)
        order.add_done_callback(orders.discard)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
