"""An aiohttp server answers after ten minutes if there is no news. More and more clients wait.

Looks like: requests at a steady rate of which none ends.
"""

import asyncio
import contextlib

from aiohttp import web

from benchmarks.leaks.program import run


async def poll(_: web.Request) -> web.Response:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(600):
            await asyncio.Event().wait()
    return web.Response(text="no news")


async def main(rate: float) -> None:
    app = web.Application()
    app.router.add_get("/", poll)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clients: list[asyncio.StreamWriter] = []
    while True:
        if len(clients) < 400:
            _, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            clients.append(writer)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
