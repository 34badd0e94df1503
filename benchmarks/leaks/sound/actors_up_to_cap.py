"""A hundred and twenty actors are started as the first messages for them come; then there are no more.

Looks like: tasks that are created at a steady rate, wait for their own queues, and never end.
"""

import asyncio
import random

from benchmarks.leaks.program import run

ACTORS = 120


class Actor:
    def __init__(self) -> None:
        self.inbox: asyncio.Queue[int] = asyncio.Queue()
        self.total = 0

    async def act(self) -> None:
        while True:
            self.total += await self.inbox.get()


async def main(rate: float) -> None:
    actors: dict[int, Actor] = {}
    tasks: list[asyncio.Task[None]] = []
    while True:
        number = random.randrange(ACTORS)
        if number not in actors:
            actors[number] = Actor()
            tasks.append(asyncio.create_task(actors[number].act()))
        actors[number].inbox.put_nowait(1)
        await asyncio.sleep(0.1 / rate)


if __name__ == "__main__":
    run(main)
