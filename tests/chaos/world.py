"""The service under the walk, its operator, and what must hold after every step."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qcfeed.cli.diagnose.gather import gather
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.control.routes import STATUS, SUBSCRIBERS
from qcfeed.diagnose.verdict import diagnose
from qcfeed.model.status import ServiceStatus
from qcfeed.model.subscribers import Subscribers
from tests.chaos.clients import Client
from tests.chaos.reader import LIVE
from tests.support.machine import of_the_program
from tests.support.patience import PATIENCE
from tests.support.running_service import Running, until

STALE_AFTER = 0.5
OPTIONS: dict[str, Any] = {
    "upstream": "sim:?rate=40",
    "allow_drills": True,
    "linger": 0.05,
    "stale_after": STALE_AFTER,
    "send_buffer": 4_608,
    "max_lag": 64,
}
"""Options of the service: soon stale, and small buffers, so that paused clients fall behind at once."""
SILENT = ("silent-upstream", "rubbish-upstream")
"""Drills during which no quote arrives."""
ZOMBIES = "zombie-feeds=20"
LOST = "lost-readers=5"
_WINDOW = 0.3


@dataclass(slots=True, eq=False)
class World:
    """Everything that the steps act on."""

    running: Running
    chance: random.Random
    clients: list[Client] = field(default_factory=list)
    drill: str | None = None
    zombies: bool = False
    """Whether orphaned tasks are expected: from the drill until they are reaped."""
    lost: set[str] = field(default_factory=set)
    """The symbols of orphaned subscriptions, from the drill until they are reaped."""
    names: int = 0

    @property
    def universe(self) -> list[str]:
        return [str(each) for each in self.running.service.hub.upstream.symbols()][:12]

    def some(self, most: int = 4) -> list[str]:
        return self.chance.sample(self.universe, self.chance.randint(1, most))

    def awake(self) -> list[Client]:
        return [each for each in self.clients if not each.paused]

    # ------------------------------------------------------------ operator

    async def control(self, call: Callable[[ControlClient], Any]) -> Any:
        """Call the control plane over its socket, as the command line does."""
        address = ControlAddress(socket=self._socket)
        return await asyncio.to_thread(call, ControlClient(address, timeout=PATIENCE))

    @property
    def _socket(self) -> Path:
        return Path(self.running.service.listening.control)

    async def findings(self) -> set[str]:
        """The rules of what `qcfeed diagnose` finds, except what a busy machine brings about."""
        evidence = await self.control(lambda client: gather(client, _WINDOW))
        return {each.rule for each in of_the_program(diagnose(evidence).findings)}

    # ------------------------------------------------------------ checks

    async def sync(self) -> None:
        """Every client that reads has read everything."""
        for client in self.awake():
            if not await client.sync():
                self.clients.remove(client)
                await client.raw.leave()

    async def check(self) -> None:
        """The service, its operator and its clients agree."""
        await self.sync()
        expected = sorted(len(each.symbols) for each in self.clients)
        hub, gateway = self.running.service.hub, self.running.service.gateway
        await until(
            lambda: len(gateway.connections) == len(self.clients) and not gateway.pending,
            "the connections are the clients'",
            instead=lambda: [each.peer for each in gateway.connections],
        )
        assert sorted(len(each.subscribers) for each in gateway.connections) == expected
        assert hub.subscriptions == sum(expected) + len(self.lost)
        status, rows = await self.control(
            lambda asked: (asked.get(STATUS, ServiceStatus), asked.get(SUBSCRIBERS, Subscribers))
        )
        assert sorted(row.held for row in rows.subscribers) == expected
        assert status.orphaned_subscriptions == len(self.lost)
        # While the drill lasts, every subscription that ends leaves one more, also after a reap.
        if self.drill != ZOMBIES:
            assert (status.orphaned_tasks > 0) == self.zombies, f"{status.orphaned_tasks} orphans"
        assert not status.totals.incomplete
        assert self.running.ledger.failure is None
        wanted = {symbol for each in self.clients for symbol in each.symbols}
        assert wanted <= set(hub.feeds), f"no feed for {wanted - set(hub.feeds)}"
        for feed in hub.feeds.values():
            busy = feed.symbol in wanted
            assert not busy or feed.upstream_task is not None, f"{feed.symbol} has no upstream"

    async def until_all(self, state: str) -> None:
        """Read until every symbol of every client that reads is live, or is not."""
        async with asyncio.timeout(PATIENCE):
            while True:
                await self.sync()
                seen = [each for client in self.awake() for each in client.reader.seen.values()]
                if all((each.state == LIVE) == (state == LIVE) for each in seen):
                    return
                await asyncio.sleep(STALE_AFTER / 10)

    async def end(self) -> None:
        """Everybody leaves; then feeds end after their linger time, except those kept by a drill."""
        for client in self.clients:
            client.raw.reset()
            await client.raw.leave()
        self.clients.clear()
        service = self.running.service
        await until(lambda: not service.gateway.connections, "all connections ended")
        await until(
            lambda: len(service.hub.feeds) <= len(self.lost),
            "feeds end",
            instead=lambda: list(service.hub.feeds),
        )
