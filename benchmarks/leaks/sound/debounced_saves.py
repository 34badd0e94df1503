"""Each change of a document cancels its delayed save and starts a new one. Thirty documents are open.

Looks like: delayed tasks that are created at a steady rate, and hardly ever finish.
"""

import asyncio
import random

from benchmarks.leaks.program import run


class Document:
    def __init__(self) -> None:
        self.delayed: asyncio.Task[None] | None = None
        self.saved = 0

    def change(self) -> None:
        if self.delayed:
            self.delayed.cancel()
        self.delayed = asyncio.create_task(self.save_later())

    async def save_later(self) -> None:
        await asyncio.sleep(20)
        self.saved += 1


async def main(rate: float) -> None:
    documents = [Document() for _ in range(30)]
    while True:
        random.choice(documents).change()
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
