"""A chat bot reconnects whenever its server drops it. The heartbeat task of each old connection stays.

Public bug: https://github.com/embl-bio-it/python-mattermost-autodriver/issues/36
Packages: mattermostautodriver==11.4.2
Library: mattermostautodriver/websocket.py, `keep_alive = asyncio.create_task(self._do_heartbeats(websocket))`
Library: mattermostautodriver/websocket.py, `await asyncio.sleep(next_timeout)`
"""

import asyncio
import logging

from aiohttp import web
from mattermostautodriver.websocket import Websocket

from benchmarks.leaks.program import run


async def serve(rate: float) -> int:
    async def greet_and_drop(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.receive()  # the token
        await websocket.send_json({"event": "hello", "seq": 0})
        await asyncio.sleep(1 / rate)
        return websocket

    application = web.Application()
    application.router.add_get("/api/v4/websocket", greet_and_drop)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


async def handle(_: str) -> None:
    return


async def main(rate: float) -> None:
    logging.disable()  # the library logs every lost connection as an error
    options = {
        "debug": False,
        "scheme": "http",
        "url": "127.0.0.1",
        "port": await serve(rate),
        "proxy": None,
        "keepalive": True,
        "keepalive_delay": 0,
        "timeout": 30,
        "verify": True,
        "websocket_kw_args": None,
    }
    await Websocket(options, "token").connect(handle)  # leak


if __name__ == "__main__":
    run(main)
