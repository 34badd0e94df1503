"""Ten tasks per second, each done in an instant, and a timeout around every call.

Looks like: thousands of tasks created at one place. None of them is left.
"""

import asyncio

from benchmarks.leaks.program import run


async def call() -> None:
    await asyncio.sleep(0.02)


async def main(rate: float) -> None:
    while True:
        await asyncio.gather(*(asyncio.wait_for(call(), timeout=5) for _ in range(10)))
        await asyncio.sleep(5 / rate)


if __name__ == "__main__":
    run(main)
