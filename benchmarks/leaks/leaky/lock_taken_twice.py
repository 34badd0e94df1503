"""The recovery of a connection takes a lock, and calls a function that takes the same lock.

Public bug: https://github.com/apache/doris-mcp-server/issues/223
"""

import asyncio

from benchmarks.leaks.program import run


class Pool:
    def __init__(self) -> None:
        self.recovery = asyncio.Lock()

    async def recover_with_lock(self) -> None:
        async with self.recovery:
            await self.recover()

    async def recover(self) -> None:
        async with self.recovery:  # waits
            await asyncio.sleep(0.1)


async def main(rate: float) -> None:
    tenants: list[tuple[Pool, asyncio.Task[None]]] = []
    while True:
        pool = Pool()
        tenants.append((pool, asyncio.create_task(pool.recover_with_lock())))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
