"""Each entry of a cache has a task that removes it after thirty seconds.

Looks like: a task per entry, none of which has ended in the first thirty seconds.
"""

import asyncio

from benchmarks.leaks.program import run


class Cache:
    def __init__(self) -> None:
        self.entries: dict[int, bytes] = {}
        self.expiring: set[asyncio.Task[None]] = set()

    def put(self, key: int, value: bytes) -> None:
        self.entries[key] = value
        task = asyncio.create_task(self.expire(key))
        self.expiring.add(task)
        task.add_done_callback(self.expiring.discard)

    async def expire(self, key: int) -> None:
        await asyncio.sleep(30)
        del self.entries[key]


async def main(rate: float) -> None:
    cache = Cache()
    key = 0
    while True:
        cache.put(key, b"value")
        key += 1
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
