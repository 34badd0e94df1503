"""A thread submits calls to the loop and gives up on each after a while. The calls themselves go on waiting.

Public bug: https://github.com/python/cpython/issues/105836
"""

import asyncio
import contextlib
import threading

from benchmarks.leaks.program import run


class Device:
    def __init__(self) -> None:
        self.ready = asyncio.Event()

    async def read(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self.ready.wait()
        await self.ready.wait()  # waits


def poll(
    device: Device, loop: asyncio.AbstractEventLoop, every: float, over: threading.Event
) -> None:
    while not over.wait(every) and not loop.is_closed():
        call = asyncio.run_coroutine_threadsafe(device.read(), loop)  # leak
        call.cancel()


async def main(rate: float) -> None:
    over = threading.Event()
    arguments = (Device(), asyncio.get_running_loop(), 1 / rate, over)
    thread = threading.Thread(target=poll, args=arguments, daemon=True)
    thread.start()
    try:
        await asyncio.Event().wait()
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    run(main)
