"""A request is retried in the background, 480 times at intervals of a minute. The address is wrong for ever.

Common fault: a limit on the attempts that stands for eight hours.
"""

import asyncio

from benchmarks.leaks.program import run


class Webhook:
    def __init__(self) -> None:
        self.failed = 0

    async def post(self) -> bool:
        self.failed += 1
        return False

    async def deliver(self) -> None:
        for _ in range(480):
            if await self.post():
                return
            await asyncio.sleep(60)  # waits


async def main(rate: float) -> None:
    webhook = Webhook()
    deliveries = set()
    while True:
        deliveries.add(asyncio.create_task(webhook.deliver()))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
