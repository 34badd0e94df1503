"""A failed job waits two seconds and then restarts itself by a call, so it never ends. Its service is gone.

Public bug: https://github.com/lnbits/lnbits/pull/3987
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


async def import_invoice() -> None:
    raise ConnectionError("the node does not answer")


async def keep_trying() -> None:
    with contextlib.suppress(ConnectionError):
        await import_invoice()
        return
    await asyncio.sleep(2)
    await keep_trying()  # waits


async def main(rate: float) -> None:
    jobs = set()
    while True:
        jobs.add(asyncio.create_task(keep_trying()))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
