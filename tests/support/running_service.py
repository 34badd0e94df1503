"""A real service in the test's own loop, checked for leftovers at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import psutil

from qcfeed.diagnostics import orphans, snapshot
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.model.symbol import Symbol
from qcfeed.server.feed import Feed
from qcfeed.service.app import Service
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient, head, request


async def until(
    condition: Callable[[], object],
    what: str,
    *,
    within: float = PATIENCE,
    instead: Callable[[], object] = lambda: "nothing to show",
) -> None:
    """Wait for a condition; on a timeout, fail with ``what`` and the result of ``instead``."""
    try:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 — it may be anything, the kernel's table too
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {within:g} s; instead: {instead()}") from None


def _is_empty(left: Callable[[], list[object]]) -> bool:
    return not left()


@dataclass(slots=True)
class Running:
    """A started service, and the tasks that were alive before the first client connected."""

    service: Service
    ledger: Ledger
    residents: set[int] = field(default_factory=set)

    @property
    def port(self) -> int:
        return int(self.service.listening.websocket.rpartition(":")[2])

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def feed(self, symbol: str = "AAPL") -> Feed:
        return self.service.hub.feeds[Symbol(symbol)]

    async def client(
        self,
        target: str = "/quotes/AAPL",
        *,
        receive_buffer: int | None = None,
        source: str = "127.0.0.1",
    ) -> RawClient:
        return await RawClient.upgraded(
            self.port, target, receive_buffer=receive_buffer, source=source
        )

    async def stream(self, *symbols: str, source: str = "127.0.0.1") -> RawClient:
        """A client of /stream, subscribed to ``symbols``."""
        client = await self.client("/stream", source=source)
        if symbols:
            client.send(request("subscribe", *symbols))
            said = await client.message("subscribed")
            assert said["symbols"] == sorted(symbols)
        return client

    async def exchange(self, *pieces: bytes) -> tuple[int, bytes]:
        """Status and body of the HTTP response to these bytes; the connection must close after it."""
        async with await RawClient.connect(self.port) as client:
            client.send(*pieces)
            answer = await client.response()
            assert await client.ended() == "eof"
            return answer.status, answer.body

    async def refusal(self, *pieces: bytes) -> tuple[int, str]:
        """Status and error code of a refused upgrade."""
        async with await RawClient.connect(self.port) as client:
            client.send(*(pieces or (head(),)))
            answer = await client.response()
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["connection"] in ("close", "close, Upgrade")
            assert await client.ended() == "eof"
        said = answer.json()
        assert said["type"] == "error"
        assert said["message"]
        return answer.status, said["code"]

    # ------------------------------------------------------------ books

    def strangers(self) -> list[str]:
        """Live tasks that did not exist before the first client, except the test itself."""
        this = asyncio.current_task()
        mine = "" if this is None else this.get_name()
        return [
            f"{task.name} from {task.location}"
            for task in self._alive()
            if task.serial not in self.residents and task.name != mine
        ]

    def remember_residents(self) -> None:
        self.residents = {task.serial for task in self._alive()}

    def _alive(self) -> list[snapshot.LiveTask]:
        return snapshot.live(self.ledger, time.monotonic(), limit=100_000)

    async def balanced(self, *, within: float = PATIENCE) -> None:
        """Wait until no connection, feed or new task is left."""
        service = self.service
        every: dict[str, Callable[[], list[object]]] = {
            "all connections gone": lambda: [
                *service.gateway.connections,
                *service.gateway.pending,
            ],
            "all feeds closed and forgotten": lambda: list(service.hub.feeds),
            "all tasks joined": lambda: list(self.strangers()),
            "all sockets gone": lambda: list(self.sockets()),
        }
        for what, left in every.items():
            await until(partial(_is_empty, left), what, within=within, instead=left)
        assert service.hub.subscriptions == 0
        assert len(service.gateway.timeouts) == 0
        assert self.ledger.failure is None
        assert orphans.find(self.ledger, time.monotonic()) == []

    def sockets(self) -> list[str]:
        """Server sockets of connections to the port for quotes that this process still has open."""
        if not self.service.listening.websocket:
            return []  # it never started
        return [
            each.status
            for each in psutil.Process().net_connections("tcp")
            if each.laddr.port == self.port and each.raddr
        ]

    def kernel_holds(self, client: RawClient) -> bool:
        """Whether the kernel still has the server's socket of a connection, orphaned or not.

        A socket closed with unsent bytes belongs to no process, but stays in the kernel's table until
        they are sent (proc(5): /proc/net/tcp).
        """
        return any(
            each.laddr.port == self.port and each.raddr and each.raddr.port == client.port
            for each in psutil.net_connections("tcp")
            if each.status != psutil.CONN_TIME_WAIT
        )
