"""Sixty plugins are started within a minute. Each watches one shared condition for changes, for ever.

Looks like: more and more tasks that wait for one object.
"""

import asyncio

from benchmarks.leaks.program import run


class Config:
    def __init__(self) -> None:
        self.changed = asyncio.Condition()

    async def change(self) -> None:
        while True:
            await asyncio.sleep(3)
            async with self.changed:
                self.changed.notify_all()

    async def watch(self) -> None:
        async with self.changed:
            while True:
                await self.changed.wait()


async def main(rate: float) -> None:
    config = Config()
    changing = asyncio.create_task(config.change())
    plugins: list[asyncio.Task[None]] = []
    while not changing.done():
        if len(plugins) < 60:
            plugins.append(asyncio.create_task(config.watch()))
        await asyncio.sleep(5 / rate)


if __name__ == "__main__":
    run(main)
