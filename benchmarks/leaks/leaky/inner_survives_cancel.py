"""A stream reads the model's answer in an inner task. The outer one times out; nobody cancels the inner one.

Public bug: https://github.com/strands-agents/harness-sdk/issues/2266
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run

inner_tasks: set[asyncio.Task[None]] = set()


class Model:
    def __init__(self) -> None:
        self.answered = asyncio.Condition()

    async def read(self) -> None:
        async with self.answered:
            await self.answered.wait()  # waits

    async def stream(self) -> None:
        inner = asyncio.create_task(self.read())  # leak
        inner_tasks.add(inner)
        await asyncio.wait({inner})


async def main(rate: float) -> None:
    model = Model()
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 / rate):
                await asyncio.gather(model.stream(), model.stream())


if __name__ == "__main__":
    run(main)
