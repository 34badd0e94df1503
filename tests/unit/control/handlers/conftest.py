"""Programs with a ledger, whose routes are asked without a server."""

from __future__ import annotations

import asyncio

import pytest

from qcfeed.control.handlers import tasks
from qcfeed.diagnostics.ledger import Ledger, owned_by
from qcfeed.diagnostics.loop_watch import LoopWatch


class Program:
    """A program with a ledger, asked without a server."""

    def __init__(self, **plugged) -> None:
        self.ledger = Ledger()
        self.watch = LoopWatch()
        self.ledger.install(asyncio.get_running_loop())
        self.watch.start(asyncio.get_running_loop())
        self.handle = {
            route.path: route.handle for route in tasks.routes(self.ledger, self.watch, **plugged)
        }
        self.held: list[asyncio.Task] = []

    def spawn(self, n: int, owner=None, coroutine=None) -> list[asyncio.Task]:
        with owned_by(owner):
            new = [asyncio.create_task((coroutine or forever)()) for _ in range(n)]
        self.held += new
        return new

    async def close(self) -> None:
        for task in self.held:
            task.cancel()
        await asyncio.gather(*self.held, return_exceptions=True)
        self.watch.stop()
        self.ledger.uninstall()


async def forever() -> None:
    await asyncio.sleep(600)


@pytest.fixture
async def start():
    programs = []

    def make(**plugged):
        programs.append(Program(**plugged))
        return programs[-1]

    yield make
    for program in programs:
        await program.close()
