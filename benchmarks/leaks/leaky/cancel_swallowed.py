"""A polling loop catches every exception, its own cancellation too. It cannot be stopped.

Public bug: https://github.com/fuergaosi233/claude-code-proxy/pull/74
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


class Poller:
    exiting = False

    async def poll(self) -> None:
        while not Poller.exiting:
            with contextlib.suppress(BaseException):
                await asyncio.sleep(3)  # waits


async def main(rate: float) -> None:
    pollers = set()
    try:
        while True:
            poller = asyncio.create_task(Poller().poll())  # leak
            pollers.add(poller)
            await asyncio.sleep(1 / rate)
            poller.cancel()
    finally:
        Poller.exiting = True


if __name__ == "__main__":
    run(main)
