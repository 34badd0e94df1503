"""A ledger over the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio

from qcfeed.diagnostics.ledger import Ledger


@dataclass
class Subscriber:
    """An owner, as a service would have one."""

    name: str = "subscriber 812 of AAPL"
    closed: bool = False
    closed_at: float | None = None

    def __str__(self) -> str:
        return self.name


@pytest_asyncio.fixture
async def ledger() -> AsyncIterator[Ledger]:
    loop = asyncio.get_running_loop()
    # Away with the suite's own leak check: tests look at what factory is there.
    before = loop.get_task_factory()
    loop.set_task_factory(None)
    ledger = Ledger()
    ledger.install(loop)
    yield ledger
    ledger.uninstall()
    assert loop.get_task_factory() is None
    loop.set_task_factory(before)


@pytest_asyncio.fixture
async def subscriber() -> Subscriber:
    return Subscriber()
