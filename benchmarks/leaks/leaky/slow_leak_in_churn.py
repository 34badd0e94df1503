"""All tasks are started by one helper function. Fifty per second end at once; one per second never ends.

Public bug: https://github.com/xZetsubou/hass-localtuya/pull/383
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from benchmarks.leaks.program import run

background: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(coroutine)  # helper
    background.add(task)
    task.add_done_callback(background.discard)


async def handle_reading() -> None:
    await asyncio.sleep(0.2)


async def shut_down_entities(awake: asyncio.Event) -> None:
    await awake.wait()  # waits


async def main(rate: float) -> None:
    per_leak = 50
    while True:
        spawn(shut_down_entities(asyncio.Event()))  # leak
        for _ in range(per_leak):
            spawn(handle_reading())
            await asyncio.sleep(5 / rate / per_leak)


if __name__ == "__main__":
    run(main)
