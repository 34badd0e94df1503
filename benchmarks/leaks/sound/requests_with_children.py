"""A request asks three services, one task each, and waits for all of them; the slowest takes up to fifty seconds.

Looks like: many children of which hardly any ends.
"""

import asyncio
import random

from benchmarks.leaks.program import run


async def ask(answer: asyncio.Future[str]) -> str:
    return await answer


async def handle() -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as services:
        for _ in range(3):
            answer: asyncio.Future[str] = loop.create_future()
            loop.call_later(random.uniform(1, 50), answer.set_result, "ok")
            services.create_task(ask(answer))


async def main(rate: float) -> None:
    requests: set[asyncio.Task[None]] = set()
    while True:
        request = asyncio.create_task(handle())
        requests.add(request)
        request.add_done_callback(requests.discard)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
