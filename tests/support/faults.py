"""A program with one fault, attached as ``faulty``: ``python -m tests.support.faults NAME``."""

from __future__ import annotations

import asyncio
import sys
import time

from qcfeed import attach

MEGABYTE = 2**20
kept: list[bytearray] = []


def hash_everything(seconds: float) -> None:
    time.sleep(seconds)  # the blocking line


async def blocks_for_good() -> None:
    """Gives the loop back only to take it again."""
    while True:
        hash_everything(60)
        await asyncio.sleep(0)


async def blocked_once() -> None:
    hash_everything(2)
    await asyncio.Event().wait()


async def keeps_memory() -> None:
    """A cache that forgets nothing; it has one task, and never another."""
    while True:
        kept.append(bytearray(b"x" * 4 * MEGABYTE))
        await asyncio.sleep(0.1)


async def works() -> None:
    """Tasks that come and go, a few hundred at a time, and no fault."""
    while True:
        async with asyncio.TaskGroup() as group:
            for number in range(300):
                group.create_task(asyncio.sleep(number % 10 / 100))


FAULTS = {each.__name__: each for each in (blocks_for_good, blocked_once, keeps_memory, works)}


async def main(fault: str) -> None:
    async with attach("faulty"):
        task = asyncio.create_task(FAULTS[fault]())
        sys.stdout.write("attached\n")
        await task


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
