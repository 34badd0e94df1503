"""Most requests take half a second; one in four asks for a report that takes up to twenty seconds.

Looks like: a few tasks that are many times older than those that have ended.
"""

import asyncio
import random

from benchmarks.leaks.program import run


async def query(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def handle() -> None:
    await query(0.5 if random.random() < 0.75 else random.uniform(8, 20))


async def main(rate: float) -> None:
    requests: set[asyncio.Task[None]] = set()
    while True:
        request = asyncio.create_task(handle())
        requests.add(request)
        request.add_done_callback(requests.discard)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
