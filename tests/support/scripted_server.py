"""A small real WebSocket server that speaks model/messages.py and follows a test's script."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from qcfeed.client.endpoint import Endpoint
from qcfeed.model import messages
from qcfeed.model.messages import Quote, ServerMessage

Script = Callable[["Visit"], Awaitable[web.StreamResponse | None]]


def quote(seq: int, *, symbol: str = "AAPL", epoch: str = "a", conflated: int = 0) -> Quote:
    return Quote(symbol, 189.99, 300, 190.01, 100, 190.0, "", epoch, seq, conflated)


class Visit:
    """One request: refuse it, or upgrade it and exchange messages."""

    def __init__(self, request: web.Request, number: int) -> None:
        self.request = request
        self.number = number
        self.socket = web.WebSocketResponse()

    async def upgrade(self) -> None:
        await self.socket.prepare(self.request)

    async def say(self, *said: ServerMessage) -> None:
        for message in said:
            await self.socket.send_str(messages.encode(message).decode())

    async def close(self, code: int, reason: str = "") -> None:
        await self.socket.close(code=code, message=reason.encode())

    async def stay(self) -> None:
        """Wait until the client disconnects."""
        async for _ in self.socket:
            pass

    def cut(self) -> None:
        """Drop the connection without a close frame."""
        assert self.request.transport is not None
        self.request.transport.abort()


class ScriptedServer:
    """Runs ``script`` for every request; ``visits`` are the requests so far."""

    def __init__(self) -> None:
        self.script: Script = _stay
        self.visits: list[Visit] = []
        self.left: asyncio.Queue[Visit] = asyncio.Queue()
        self.port = 0
        self._runner: web.ServerRunner | None = None

    @property
    def held(self) -> int:
        """The number of visits that are not over."""
        return len(self.visits) - self.left.qsize()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("ws", "127.0.0.1", self.port)

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.BaseRequest)
        visit = Visit(request, len(self.visits))  # type: ignore[arg-type]
        self.visits.append(visit)
        try:
            return await self.script(visit) or visit.socket
        finally:
            self.left.put_nowait(visit)


async def _stay(visit: Visit) -> None:
    await visit.upgrade()
    await visit.stay()
