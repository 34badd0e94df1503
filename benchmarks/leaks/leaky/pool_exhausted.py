"""A timeout loses the pooled connection that just became free. When all are lost, every request waits.

Public bug: https://github.com/MagicStack/asyncpg/issues/467
"""

import asyncio

from benchmarks.leaks.program import run


class Pool:
    def __init__(self, size: int) -> None:
        self.free: asyncio.Queue[str] = asyncio.Queue()
        for number in range(size):
            self.free.put_nowait(f"connection {number}")

    async def query(self, *, times_out: bool) -> None:
        connection = await self.free.get()  # waits
        async with asyncio.timeout(0.05):
            await asyncio.sleep(1 if times_out else 0.01)
        self.free.put_nowait(connection)


async def answer(pool: Pool, *, times_out: bool) -> None:
    try:
        await pool.query(times_out=times_out)
    except TimeoutError:
        return


async def main(rate: float) -> None:
    pool = Pool(4)
    requests: list[asyncio.Task[None]] = []
    while True:
        hangs = len(requests) % 2 == 1
        requests.append(asyncio.create_task(answer(pool, times_out=hangs)))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
