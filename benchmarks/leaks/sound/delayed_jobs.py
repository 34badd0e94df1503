"""Each order gets a reminder, due in ten minutes. Nothing has gone wrong while none of them has ended yet.

Looks like: tasks that are created at a steady rate, sleep, and never end. Their sleep is due later than they are old.
"""

import asyncio

from benchmarks.leaks.program import run


async def remind() -> None:
    await asyncio.sleep(600)


async def main(rate: float) -> None:
    reminders: set[asyncio.Task[None]] = set()
    while True:
        reminder = asyncio.create_task(remind())
        reminders.add(reminder)
        reminder.add_done_callback(reminders.discard)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
