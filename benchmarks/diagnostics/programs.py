"""The measured programs: trivial tasks, sleeping tasks with and without owners, a ticker."""

from __future__ import annotations

import asyncio
import time

from qcfeed.diagnostics.ledger import owned_by


async def nothing() -> None: ...


async def sleeper() -> None:
    await asyncio.sleep(36_000)


class Subscriber:
    """A typical owner: there are many of them, each with a few tasks."""

    def __init__(self) -> None:
        self.closed_at: float | None = None

    @property
    def closed(self) -> bool:
        return self.closed_at is not None


def sleepers(number: int, owners: int) -> list[Subscriber]:
    """Spawn ``number`` sleeping tasks, spread over ``owners`` owners; 0 for tasks without an owner."""
    loop = asyncio.get_running_loop()
    subscribers = [Subscriber() for _ in range(owners)]
    if not subscribers:
        for _ in range(number):
            loop.create_task(sleeper())
    for n, subscriber in enumerate(subscribers):
        with owned_by(subscriber):
            for _ in range(n, number, owners):
                loop.create_task(sleeper())
    return subscribers


class Ticker:
    """Longest gap of a 1 ms ticker, in milliseconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest = max(self.longest, (now - last) * 1e3)
            last = now
