"""A bot watches many symbols with ccxt, and gives up when no price comes in time. A task of ccxt stays.

Public bug: https://github.com/ccxt/ccxt/issues/27746
Packages: ccxt==4.5.34
Library: ccxt/async_support/base/ws/future.py, `task = asyncio.create_task(coro)`
"""

import asyncio
import contextlib
import logging

from aiohttp import web
from ccxt.async_support.base.exchange import Exchange

from benchmarks.leaks.program import run

SYMBOLS = ["BTC/USDT", "ETH/USDT", "QUIET/USDT"]


async def say_nothing(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    async for _ in websocket:
        pass
    return websocket


async def serve() -> int:
    application = web.Application()
    application.router.add_get("/", say_nothing)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return int(runner.addresses[0][1])


async def main(rate: float) -> None:
    logging.disable()  # at the end, the library warns that it was not closed
    exchange = Exchange({"id": "local", "enableRateLimit": False})
    url = f"ws://127.0.0.1:{await serve()}/"
    while True:
        with contextlib.suppress(TimeoutError):
            watching = exchange.watch_multiple(url, SYMBOLS, None, SYMBOLS)  # leak
            await asyncio.wait_for(watching, timeout=1 / rate)


if __name__ == "__main__":
    run(main)
