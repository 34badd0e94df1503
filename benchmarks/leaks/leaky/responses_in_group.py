"""A server's task group waits for the answer to each request. An answer whose handler failed never comes.

Public bug: https://github.com/ai-dynamo/aiperf/pull/1325
"""

import asyncio

from benchmarks.leaks.program import run


class Server:
    def __init__(self) -> None:
        self.answers: dict[int, asyncio.Future[str]] = {}
        self.sent = 0

    async def handle(self, request: int) -> None:
        await asyncio.sleep(0.1)
        if request % 4 == 0:
            self.answers[request].set_result("done")

    async def send_answer(self, request: int) -> None:
        await self.answers[request]  # waits
        del self.answers[request]
        self.sent += 1


async def serve(server: Server, rate: float) -> None:
    request = 0
    async with asyncio.TaskGroup() as group:
        while True:
            request += 1
            server.answers[request] = asyncio.get_running_loop().create_future()
            group.create_task(server.handle(request))
            group.create_task(server.send_answer(request))  # leak
            await asyncio.sleep(1 / rate)


async def main(rate: float) -> None:
    serving = asyncio.create_task(serve(Server(), rate))
    await asyncio.wait({serving})


if __name__ == "__main__":
    run(main)
