"""One of two gathered calls fails. The caller gets the error at once; the other call goes on waiting.

Public bug: https://github.com/deepset-ai/haystack/issues/11965
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


class Retriever:
    def __init__(self) -> None:
        self.answers: list[asyncio.Future[str]] = []

    async def retrieve(self) -> str:
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]  # waits

    async def fail(self) -> str:
        await asyncio.sleep(0.05)
        raise ConnectionError("index is gone")


async def main(rate: float) -> None:
    retriever = Retriever()
    while True:
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(retriever.retrieve(), retriever.fail())  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
