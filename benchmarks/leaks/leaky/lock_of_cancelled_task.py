"""A task is cancelled after it has taken a lock and before its ``try``. Nobody releases the lock any more.

Public bug: https://github.com/ApeWorX/web3.py/issues/2693
"""

import asyncio

from benchmarks.leaks.program import run


class Cache:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    async def session(self) -> None:
        await self.lock.acquire()  # waits
        await asyncio.sleep(0.02)
        try:
            await asyncio.sleep(0.02)
        finally:
            self.lock.release()


async def main(rate: float) -> None:
    cache = Cache()
    requests: list[asyncio.Task[None]] = []
    while True:
        requests.append(asyncio.create_task(cache.session()))  # leak
        await asyncio.sleep(0.01)
        if len(requests) == 10:
            requests[-1].cancel()
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
