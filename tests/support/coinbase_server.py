"""A server that speaks the Coinbase Exchange feed's protocol, over a capture or written frames.

It answers subscribe and unsubscribe with ``subscriptions`` or ``error``, sends each product's
snapshot and then its updates and tickers, and makes a heartbeat a product. Its faults are asked
for by name: ``drop``, ``mute``, ``say``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from aiohttp import WSMsgType, web

Message = dict[str, Any]
Script = dict[str, list[tuple[float, Message]]]
"""A product's messages, each with the seconds after the subscription at which it is sent."""

CAPTURE = Path(__file__).parents[3] / "shared" / "data" / "coinbase-2021-04-17.ws.gz"
CHANNELS = {"ticker", "heartbeat", "level2_batch"}
_TYPES = {"snapshot", "l2update", "ticker"}


def capture(path: Path = CAPTURE) -> Script:
    """The messages of a raw capture, by product."""
    script: Script = defaultdict(list)
    start = None
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if line.startswith("ws") or not line.strip():
                continue
            at, _, text = line.partition(": ")
            message = json.loads(text)
            start = float(at) if start is None else start
            if message["type"] in _TYPES:
                script[message["product_id"]].append((float(at) - start, message))
    return dict(script)


def frames(messages: Iterable[Message], *, every: float = 0.0) -> Script:
    """Given messages, by product, one ``every`` so many seconds."""
    script: Script = defaultdict(list)
    for message in messages:
        line = script[message["product_id"]]
        line.append((every * len(line), message))
    return dict(script)


class Connection:
    """One client: its products, each with a task that plays the messages."""

    def __init__(self, server: CoinbaseServer, socket: web.WebSocketResponse) -> None:
        self.server = server
        self.socket = socket
        self.held: dict[str, asyncio.Task[None]] = {}

    async def request(self, text: str) -> None:
        request = json.loads(text)
        self.server.requests.append(request)
        products, channels = request["product_ids"], set(request["channels"])
        if request["type"] == "unsubscribe":
            await self.leave(products)
        elif why := self.refusal(products, channels):
            await self.send({"type": "error", "message": "Failed to subscribe", "reason": why})
            return
        held = sorted(
            (set(self.held) | set(products)) if request["type"] == "subscribe" else self.held
        )
        # The exchange names the batched channel by its period.
        names = [*sorted(channels - {"level2_batch"}), "level2_50"]
        said = [{"name": name, "product_ids": held, "account_ids": None} for name in names]
        await self.send({"type": "subscriptions", "channels": said})
        if request["type"] == "subscribe":
            await self.leave(products)
            for product in products:
                self.held[product] = asyncio.create_task(self.play(product))

    def refusal(self, products: list[str], channels: set[str]) -> str | None:
        if not channels <= CHANNELS:
            return f"{sorted(channels - CHANNELS)} are not valid channels"
        if self.server.refuse_all:
            return self.server.refuse_all
        unknown = [p for p in products if p not in self.server.script]
        return f"{unknown[0]} is not a valid product" if unknown else None

    async def play(self, product: str) -> None:
        server, loop = self.server, asyncio.get_running_loop()
        start = beat = loop.time()
        sequence = trade = 0
        for due, message in server.script[product]:
            at = start + due / server.speed
            while beat < at:
                await asyncio.sleep(beat - loop.time())
                await self.heartbeat(product, sequence, trade)
                beat += server.heartbeat
            if at > loop.time():
                await asyncio.sleep(at - loop.time())
            if message["type"] == "ticker":
                sequence, trade = message["sequence"], message.get("trade_id", 0)
            await self.send(message)
        while True:
            await asyncio.sleep(beat - loop.time())
            await self.heartbeat(product, sequence, trade)
            beat = max(beat + server.heartbeat, loop.time())

    async def heartbeat(self, product: str, sequence: int, trade: int) -> None:
        await self.send(
            {"type": "heartbeat", "product_id": product, "sequence": sequence,
             "last_trade_id": trade, "time": "2021-04-17T16:43:37.000000Z"}
        )  # fmt: skip

    async def send(self, message: Message) -> None:
        if not self.server.muted & {None, message.get("product_id")}:
            await self.socket.send_str(json.dumps(message, separators=(",", ":")))

    async def leave(self, products: Iterable[str]) -> None:
        tasks = [self.held.pop(product) for product in list(products) if product in self.held]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class CoinbaseServer:
    """``async with CoinbaseServer(script) as server``: listens on loopback, ``server.port``."""

    def __init__(self, script: Script, *, speed: float = 1.0, heartbeat: float = 1.0) -> None:
        self.script = script
        self.speed = speed
        self.heartbeat = heartbeat
        self.requests: list[Message] = []
        self.accepted = 0
        self.open: set[Connection] = set()
        self.most_open = 0
        self.muted: set[str | None] = set()
        """Products about which nothing is sent; None mutes all."""
        self.refuse_all: str | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def held(self) -> set[str]:
        """The products with a subscriber now."""
        return {product for connection in self.open for product in connection.held}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        connection = Connection(self, socket)
        self.accepted += 1
        self.open.add(connection)
        self.most_open = max(self.most_open, len(self.open))
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await connection.request(frame.data)
        finally:
            self.open.discard(connection)
            await connection.leave(list(connection.held))
        return socket

    def drop(self) -> None:
        """Reset every connection, without a close frame."""
        for connection in list(self.open):
            transport = connection.socket._req.transport if connection.socket._req else None
            if transport is not None:
                transport.abort()

    async def close(self, code: int = 1001) -> None:
        """Close every connection with a close frame."""
        for connection in list(self.open):
            await connection.socket.close(code=code)

    async def say(self, data: str | bytes | Message) -> None:
        """Send a frame with any content to all clients; a client that disconnects is not an error."""
        for connection in list(self.open):
            with contextlib.suppress(ConnectionError):
                if isinstance(data, bytes):
                    await connection.socket.send_bytes(data)
                else:
                    text = data if isinstance(data, str) else json.dumps(data)
                    await connection.socket.send_str(text)
