"""An aiohttp handler starts an audit for each request, which waits for a signal that nobody gives.

The audits keep their requests, and so the connections of clients that come again and again.

Common fault: background work of a request that nobody ends.
"""

import asyncio

from aiohttp import ClientSession, web

from benchmarks.leaks.program import run

CLIENTS = 12


class Audits:
    def __init__(self) -> None:
        self.flushed = asyncio.Event()
        self.running: set[asyncio.Task[None]] = set()

    async def audit(self, request: web.Request) -> None:
        await self.flushed.wait()  # waits
        assert request.path

    async def handle(self, request: web.Request) -> web.Response:
        self.running.add(asyncio.create_task(self.audit(request)))  # leak
        return web.Response(text="ok")


async def main(rate: float) -> None:
    app = web.Application()
    app.router.add_get("/", Audits().handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    sessions = [ClientSession() for _ in range(CLIENTS)]
    try:
        while True:
            for session in sessions:
                async with session.get(f"http://127.0.0.1:{port}/") as answer:
                    await answer.read()
                await asyncio.sleep(1 / rate)
    finally:
        for session in sessions:
            await session.close()
        await runner.cleanup()


if __name__ == "__main__":
    run(main)
