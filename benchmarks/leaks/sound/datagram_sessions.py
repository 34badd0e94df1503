"""Each peer of a datagram service has a session, which ends when nothing has come for forty seconds.

Looks like: tasks that wait in an endless loop, without any connection.
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


class Session:
    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(40):
                    await self.inbox.get()


async def main(rate: float) -> None:
    tasks: set[asyncio.Task[None]] = set()
    while True:
        session = Session()
        task = asyncio.create_task(session.serve())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        session.inbox.put_nowait(b"hello")
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
