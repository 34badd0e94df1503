"""The only consumer of a bounded queue has failed. Every request waits until there is room in the queue.

Public bug: https://github.com/a2aproject/a2a-python/issues/1101
"""

import asyncio

from benchmarks.leaks.program import run


class EventSink:
    def __init__(self) -> None:
        self.events: asyncio.Queue[str] = asyncio.Queue(maxsize=10)
        self.error = ""

    async def dispatch(self) -> None:
        try:
            while True:
                int(await self.events.get())
        except ValueError as error:
            self.error = str(error)

    async def publish(self, event: str) -> None:
        await self.events.put(event)  # waits


async def main(rate: float) -> None:
    sink = EventSink()
    dispatcher = asyncio.create_task(sink.dispatch())
    requests = [dispatcher]
    while True:
        event = "no number" if len(requests) == 5 else "1"
        requests.append(asyncio.create_task(sink.publish(event)))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
