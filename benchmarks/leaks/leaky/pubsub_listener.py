"""Each WebSocket starts a listener on a channel. The listener outlives it, and takes each message for nobody.

Public bug: https://github.com/encode/broadcaster/issues/55
"""

import asyncio

from benchmarks.leaks.program import run


class Channel:
    def __init__(self) -> None:
        self.subscribers: set[asyncio.Queue[str]] = set()

    async def publish(self) -> None:
        while True:
            await asyncio.sleep(2)
            for subscriber in self.subscribers:
                subscriber.put_nowait("price")


class WebSocket:
    def __init__(self) -> None:
        self.sent = 0

    async def listen(self, channel: Channel) -> None:
        messages: asyncio.Queue[str] = asyncio.Queue()
        channel.subscribers.add(messages)
        while True:
            await messages.get()  # waits
            self.sent += 1

    async def serve(self, channel: Channel, seconds: float) -> None:
        asyncio.create_task(self.listen(channel))  # leak
        await asyncio.sleep(seconds)  # until the client leaves


async def main(rate: float) -> None:
    channel = Channel()
    publisher = asyncio.create_task(channel.publish())
    while not publisher.done():
        await WebSocket().serve(channel, 1 / rate)


if __name__ == "__main__":
    run(main)
