"""Each page view starts a timer that first waits until the browser has connected. Most never do.

Public bug: https://github.com/zauberzeug/nicegui/issues/5595
"""

import asyncio

from benchmarks.leaks.program import run


class Client:
    def __init__(self) -> None:
        self.connected = asyncio.Event()


class Timer:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.ticks = 0

    async def tick(self) -> None:
        await self.client.connected.wait()  # waits
        while True:
            await asyncio.sleep(1)
            self.ticks += 1


async def main(rate: float) -> None:
    clients: dict[int, Client] = {}
    running: set[asyncio.Task[None]] = set()
    while True:
        client = clients[len(clients)] = Client()
        running.add(asyncio.create_task(Timer(client).tick()))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
