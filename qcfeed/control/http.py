"""The control plane's HTTP: who calls, a request with its body, and an answer in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from qcfeed.control import auth, peers
from qcfeed.control.audit import Caller
from qcfeed.control.dispatch import Dispatcher, refused
from qcfeed.errors import NotAllowedError, UsageError
from qcfeed.formats import clipped, printable
from qcfeed.net.http_connections import HttpConnections

IDLE_TIMEOUT = 10.0
"""Seconds that a connection may be silent, and that a request's body may take."""

BODY_BYTES = 65_536
"""The most bytes of a request's body."""

STOP_GRACE = 1.0
"""Seconds that answers have to reach their callers when the server stops."""

Authenticate = Callable[[web.Request], Caller]
"""Identifies the caller of a request. Raises NotAllowedError or UsageError for one that may not ask."""


def runner(
    dispatcher: Dispatcher, authenticate: Authenticate, connections: HttpConnections
) -> web.AppRunner:
    """Serves every path: identifies the caller, reads the body, and lets ``dispatcher`` answer."""

    async def handle(request: web.Request) -> web.Response:
        try:
            caller = authenticate(request)
        except (NotAllowedError, UsageError) as error:
            response = _json(*refused(error))
            response.force_close()  # a stranger's connection is not kept
            return response
        with connections.working(request):
            try:
                body = await _body(request)
            except UsageError as error:
                return _json(*refused(error))
            return _json(
                *await dispatcher.reply(request.method, request.path, request.query, body, caller)
            )

    app = web.Application(client_max_size=BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", handle)
    return web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=IDLE_TIMEOUT,
        shutdown_timeout=STOP_GRACE,
        logger=connections.logger,
    )


def _json(status: int, content: bytes) -> web.Response:
    return web.Response(status=status, body=content, content_type="application/json")


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(IDLE_TIMEOUT):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise UsageError(f"the request has more than {BODY_BYTES} bytes") from error
    except TimeoutError as error:
        raise UsageError(f"the request's body took longer than {IDLE_TIMEOUT:g} s") from error


def local_caller(request: web.Request) -> Caller:
    """Identify a caller on the Unix socket: the kernel says who it is."""
    auth.check_origin(request.headers.get("Origin"))
    if request.transport is None:
        raise NotAllowedError("the caller has left")
    try:
        client = peers.peer(request.transport.get_extra_info("socket"))
    except OSError as error:  # its socket is closed: the server is stopping, or the caller left
        raise NotAllowedError("the caller has left") from error
    auth.check_client(client)
    return Caller("socket", client.uid, client.user, client.pid, _program(request))


def bearer_of(token: str, port: int) -> Authenticate:
    """Identify a caller on loopback TCP: it must have the token and must not be a browser."""

    def authenticate(request: web.Request) -> Caller:
        auth.check_origin(request.headers.get("Origin"))
        auth.check_host(request.headers.get("Host"), port)
        auth.check_token(request.headers.get("Authorization"), token)
        return Caller("token", program=_program(request))

    return authenticate


def _program(request: web.Request) -> str | None:
    """What the caller says it is, for the audit log."""
    name = request.headers.get("User-Agent")
    return None if name is None else clipped(printable(name))
