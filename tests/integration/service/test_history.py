"""The last hour of a running service, read over its control plane."""

from __future__ import annotations

import asyncio
from pathlib import Path

from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.control.routes import HISTORY
from qcfeed.model.history import History
from tests.support.patience import PATIENCE
from tests.support.running_service import Running, until


async def test_the_service_remembers_its_memory_tasks_and_subscriptions(running: Running) -> None:
    service = running.service
    await until(lambda: service.recent.points(0.0), "a first point")
    async with await running.stream("AAPL", "MSFT"):
        service.sampler.sample(asyncio.get_running_loop().time())
        client = ControlClient(
            ControlAddress(socket=Path(service.listening.control)), timeout=PATIENCE
        )
        told = await asyncio.to_thread(client.get, HISTORY, History)
    last = told.points[-1]
    assert len(told.points) >= 2
    assert (last.subscriptions, last.feed_count, last.orphaned) == (2, 2, 0)
    assert last.live is not None
    assert last.live >= 2
    assert last.resident_bytes is not None
    assert last.resident_bytes < told.limit_bytes
    assert sum(each.live - each.live_before for each in told.locations) >= 2
