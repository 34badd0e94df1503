"""The HTTP side: is it alive, is it ready, how does it measure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from qcfeed.metrics.collectors import Exposition


def application(exposition: Exposition, readiness: Callable[[], str]) -> web.Application:
    """/livez, /readyz and /metrics. ``readiness`` is ``ready``, or why not; a drill is said too."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        word = readiness()
        return web.Response(text=word + "\n", status=200 if word.startswith("ready") else 503)

    async def metrics(_: web.Request) -> web.Response:
        # A snapshot of a leaking process takes tens of milliseconds: not in the loop.
        body = await asyncio.get_running_loop().run_in_executor(None, exposition.text)
        return web.Response(
            body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def index(_: web.Request) -> web.Response:
        return web.Response(
            text="qcfeed: WebSocket at /quotes/{symbol} and /stream; /livez /readyz /metrics\n"
        )

    app = web.Application()
    app.on_response_prepare.append(_close_after)
    app.add_routes(
        [
            web.get("/", index),
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
        ]
    )
    return app


async def _close_after(_: web.Request, response: web.StreamResponse) -> None:
    """No keep-alive: a client's next request on this connection may be an upgrade, not for us."""
    response.force_close()
    response.headers["Connection"] = "close"  # the headers were made before this was known
