"""A worker that fails does not return its permit. When all permits are lost, every worker waits.

Public bug: https://github.com/nupurmadaan04/SOUL_SENSE_EXAM/issues/1164
"""

import asyncio

from benchmarks.leaks.program import run


class Grader:
    def __init__(self) -> None:
        self.permits = asyncio.Semaphore(3)
        self.failed = 0

    async def mark(self, number: int) -> None:
        await asyncio.sleep(0.05)
        if number % 3 == 0:
            raise ValueError("no answers")

    async def grade(self, number: int) -> None:
        await self.permits.acquire()  # waits
        try:
            await self.mark(number)
        except ValueError:
            self.failed += 1
            return
        self.permits.release()


async def main(rate: float) -> None:
    grader = Grader()
    grading: list[asyncio.Task[None]] = []
    while True:
        grading.append(asyncio.create_task(grader.grade(len(grading))))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
