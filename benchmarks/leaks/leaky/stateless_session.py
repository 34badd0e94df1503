"""Each request runs a server of its own, which then waits for a second message. No second one can come.

Nothing but the waiting task refers to the queue that it waits on.

Public bug: https://github.com/modelcontextprotocol/python-sdk/pull/2145
"""

import asyncio

from benchmarks.leaks.program import run


async def run_server(incoming: asyncio.Queue[str], answer: asyncio.Future[str]) -> None:
    while True:
        message = await incoming.get()  # waits
        answer.set_result(message.upper())


class Manager:
    def __init__(self) -> None:
        self.servers: set[asyncio.Task[None]] = set()

    async def handle(self, message: str) -> str:
        incoming: asyncio.Queue[str] = asyncio.Queue()
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.servers.add(asyncio.create_task(run_server(incoming, answer)))  # leak
        await incoming.put(message)
        return await answer


async def main(rate: float) -> None:
    manager = Manager()
    while True:
        await manager.handle("list the tools")
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
