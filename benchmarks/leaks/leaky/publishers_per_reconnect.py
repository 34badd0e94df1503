"""A client publishes sixty topics, one task each. Each reconnect starts sixty more, and stops none.

Public bug: https://github.com/boneIO-eu/app_black/pull/72
"""

import asyncio

from benchmarks.leaks.program import run

TOPICS = 60


class Broker:
    def __init__(self) -> None:
        self.published = 0

    async def publish(self, topic: int, changed: asyncio.Queue[int]) -> None:
        while True:
            self.published += await changed.get() == topic  # waits


async def main(rate: float) -> None:
    broker = Broker()
    changed: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(TOPICS)]
    tasks: list[asyncio.Task[None]] = []
    while True:
        for topic, changes in enumerate(changed):
            publishing = asyncio.create_task(broker.publish(topic, changes))  # leak
            tasks.append(publishing)
        await asyncio.sleep(TOPICS / rate)  # until the connection breaks


if __name__ == "__main__":
    run(main)
