"""Blocking calls occupy all threads of the default executor. Every further call waits for a thread.

Public bug: https://github.com/hatchet-dev/hatchet/issues/4803
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from benchmarks.leaks.program import run


def call_a_service_that_hangs(ended: threading.Event) -> None:
    ended.wait()


async def handle(ended: threading.Event) -> None:
    await asyncio.to_thread(call_a_service_that_hangs, ended)  # waits


async def main(rate: float) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))
    requests = set()
    ended = threading.Event()
    try:
        while True:
            requests.add(asyncio.create_task(handle(ended)))  # leak
            await asyncio.sleep(1 / rate)
    finally:
        asyncio.get_running_loop().call_later(0.5, ended.set)  # the program can end


if __name__ == "__main__":
    run(main)
