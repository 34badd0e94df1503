"""The HTTP endpoints: liveness, readiness and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from qcfeed.metrics.collectors import Exposition
from qcfeed.net.http_connections import HttpConnections, HttpHandler, supervised
from qcfeed.server.request_checks import RequestChecks
from qcfeed.server.token_file import TokenFile
from qcfeed.ws.refusal import Refusal


def application(
    connections: HttpConnections,
    exposition: Exposition,
    readiness: Callable[[], str],
    checks: RequestChecks | None,
    token: TokenFile | None = None,
    page: Sequence[web.RouteDef] = (),
) -> web.Application:
    """/livez, /readyz and /metrics. ``readiness`` returns ``ready``, with a running drill, or why not.

    ``checks``: of a port of its own; None on the quotes port, where the gateway has checked.
    ``token``: the one that /metrics demands, if any. ``page``: the routes of the status page, if it is on.
    """

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        word = readiness()
        return web.Response(text=word + "\n", status=200 if word.startswith("ready") else 503)

    async def metrics(request: web.Request) -> web.Response:
        if token is not None and not await token.accepts(request.headers.get("Authorization")):
            challenge = {"WWW-Authenticate": 'Bearer realm="qcfeed metrics"'}
            text = "the bearer token is missing or wrong\n"
            return web.Response(status=401, text=text, headers=challenge)
        # In a leaking process the snapshot of all tasks takes tens of milliseconds: keep it off the loop.
        body = await asyncio.get_running_loop().run_in_executor(None, exposition.text)
        return web.Response(
            body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def index(_: web.Request) -> web.Response:
        return web.Response(
            status=404,
            text="qcfeed: WebSocket at /quotes/{symbol} and /stream; /livez /readyz /metrics;"
            " the status page is off (--page)\n",
        )

    guards = [] if checks is None else [_checked(checks)]
    app = web.Application(middlewares=[supervised(connections), *guards])
    app.on_response_prepare.append(_close_after)
    app.add_routes(
        [
            *(page or [web.get("/", index)]),
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
        ]
    )
    return app


def _checked(checks: RequestChecks) -> Any:
    """A middleware that refuses foreign hosts and web pages."""

    @web.middleware
    async def check(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
        headers = {
            name.lower().encode(): ",".join(request.headers.getall(name)).encode()
            for name in request.headers
        }
        peer = (request.remote or "", 0)
        seen = checks.locate(peer, headers)
        refusal = seen if isinstance(seen, Refusal) else checks.check(headers, seen)
        if refusal is None:
            return await handler(request)
        return web.Response(
            status=refusal.status, body=refusal.body, content_type="application/json"
        )

    return check


async def _close_after(_: web.Request, response: web.StreamResponse) -> None:
    """Disable keep-alive: the next request could be an upgrade, which only the gateway can answer."""
    response.force_close()
    response.headers["Connection"] = "close"  # aiohttp has already prepared the headers
