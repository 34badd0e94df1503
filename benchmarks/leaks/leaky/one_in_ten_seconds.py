"""A watcher is started for each upload, and nobody stops it. At a rate of 5, one upload comes in ten seconds.

Common fault: a leak so slow that it shows after hours.
"""

import asyncio

from benchmarks.leaks.program import run


class Upload:
    def __init__(self) -> None:
        self.finished = asyncio.Event()

    async def watch(self) -> None:
        await self.finished.wait()  # waits


async def answer() -> None:
    await asyncio.sleep(0.1)


async def main(rate: float) -> None:
    uploads: list[Upload] = []
    tasks: set[asyncio.Task[None]] = set()
    while True:
        uploads.append(Upload())
        tasks.add(asyncio.create_task(uploads[-1].watch()))  # leak
        for _ in range(50):
            request = asyncio.create_task(answer())
            tasks.add(request)
            request.add_done_callback(tasks.discard)
            await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
