"""Each user gets a task that handles their messages. It ends after eighteen seconds without one.

Looks like: a consumer per user, each waiting on a queue of its own.
"""

import asyncio

from benchmarks.leaks.program import run


class User:
    def __init__(self) -> None:
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        self.handled = 0

    async def handle(self) -> None:
        try:
            while True:
                await asyncio.wait_for(self.messages.get(), timeout=18)
                self.handled += 1
        except TimeoutError:
            return


async def main(rate: float) -> None:
    users: set[asyncio.Task[None]] = set()
    while True:
        user = User()
        user.messages.put_nowait("hello")
        task = asyncio.create_task(user.handle())
        users.add(task)
        task.add_done_callback(users.discard)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
