"""A client takes the first result of ``as_completed`` and leaves the loop. The other wait goes on.

Public bug: https://github.com/permitio/fastapi_websocket_pubsub/pull/98
"""

import asyncio

from benchmarks.leaks.program import run


class Client:
    def __init__(self) -> None:
        self.disconnected = asyncio.Event()

    async def read(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # the server then closes the connection

    async def run(self, rate: float) -> None:
        while True:
            ends = [self.read(1 / rate), self.disconnected.wait()]
            for end in asyncio.as_completed(ends):  # leak
                await end
                break


async def main(rate: float) -> None:
    await Client().run(rate)


if __name__ == "__main__":
    run(main)
