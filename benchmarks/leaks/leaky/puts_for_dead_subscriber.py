"""Five subscribers died and left their full queues behind. Each message is put into each by a task that waits.

Common fault: a subscriber that fails does not unsubscribe.
"""

import asyncio

from benchmarks.leaks.program import run


class Topic:
    def __init__(self) -> None:
        self.queues: list[asyncio.Queue[str]] = []
        self.puts: set[asyncio.Task[None]] = set()

    async def subscribe(self) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=2)
        self.queues.append(queue)
        while await queue.get() != "bad":
            pass
        raise ValueError("cannot read this")

    def publish(self, message: str) -> None:
        for queue in self.queues:
            put = asyncio.create_task(queue.put(message))  # leak
            self.puts.add(put)
            put.add_done_callback(self.puts.discard)


async def main(rate: float) -> None:
    topic = Topic()
    subscribers = [asyncio.create_task(topic.subscribe()) for _ in range(5)]
    await asyncio.sleep(0)
    topic.publish("bad")
    await asyncio.wait(subscribers)
    for each in subscribers:
        each.exception()
    while True:
        topic.publish("price")
        await asyncio.sleep(5 / rate)


if __name__ == "__main__":
    run(main)
