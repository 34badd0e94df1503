"""Each poll waits for the next item with a timeout, in a task of its own. ``asyncio.wait`` does not cancel it.

Public bug: https://github.com/ray-project/ray/issues/65648
"""

import asyncio

from benchmarks.leaks.program import run


class Stream:
    def __init__(self) -> None:
        self.next: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def receive(self) -> str:
        return await asyncio.shield(self.next)  # waits

    async def poll(self, seconds: float) -> str | None:
        waiter = asyncio.create_task(self.receive())  # leak
        done, _ = await asyncio.wait({waiter}, timeout=seconds)
        return waiter.result() if done else None


async def main(rate: float) -> None:
    stream = Stream()
    while await stream.poll(1 / rate) is None:
        pass


if __name__ == "__main__":
    run(main)
