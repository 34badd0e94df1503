"""Each search asks twenty shards and waits for all of them. The slowest takes nine seconds.

Looks like: bursts of tasks, of which some live much longer than most.
"""

import asyncio

from benchmarks.leaks.program import run


async def ask(shard: int) -> None:
    await asyncio.sleep(9 if shard == 0 else 0.1)


async def search() -> None:
    await asyncio.gather(*(ask(shard) for shard in range(20)))


async def main(rate: float) -> None:
    searches: set[asyncio.Task[None]] = set()
    while True:
        task = asyncio.create_task(search())
        searches.add(task)
        task.add_done_callback(searches.discard)
        await asyncio.sleep(2 / rate)


if __name__ == "__main__":
    run(main)
