"""`qcfeed memory` of a service: what its stores keep is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.control.routes import MEMORY
from qcfeed.model.memory import MemoryKind, MemoryPart, MemoryUse
from tests.integration.service.conftest import Start
from tests.support.falling_behind import stall
from tests.support.patience import PATIENCE
from tests.support.running_service import Running, until
from tests.support.scripted_upstream import ScriptedUpstream, silently


async def stores(running: Running) -> dict[str, MemoryPart]:
    client = ControlClient(
        ControlAddress(socket=Path(running.service.listening.control)), timeout=PATIENCE
    )
    answer = await asyncio.to_thread(client.get, MEMORY, MemoryUse)
    return {part.name: part for part in answer.parts if part.kind is MemoryKind.STORE}


@pytest.fixture
def upstream(upstream: ScriptedUpstream) -> ScriptedUpstream:
    upstream.life = silently
    return upstream


async def test_a_subscribers_backlog_is_named(start: Start, upstream: ScriptedUpstream) -> None:
    running = await start(slow="drop-oldest", send_buffer=4_608)
    client = await running.client("/quotes/AAPL", receive_buffer=2_304)
    await until(lambda: upstream.sinks, "its feed is open")
    assert (await stores(running))["feed logs"].count == 0
    behind = await stall(running, upstream, client)
    found = await stores(running)
    logs = found["feed logs"]
    assert logs.count is not None
    assert logs.count >= 1_000
    assert logs.bytes > 100 * logs.count
    assert f"subscriber {behind.serial} is " in logs.note
    assert "quotes behind" in logs.note
    unsent = found["unsent data of slow subscribers"]
    assert unsent.count == 1
    assert unsent.bytes > 0
    assert unsent.note.startswith(f"subscriber {behind.serial}: ")
    client.reset()
    await running.balanced()


async def test_connections_take_what_they_take(start: Start, upstream: ScriptedUpstream) -> None:
    running = await start()
    clients = [await running.client("/quotes/AAPL") for _ in range(8)]
    await until(lambda: running.service.hub.subscriptions == 8, "all have subscribed")
    part = (await stores(running))["connections"]
    assert part.count == 8
    assert 800 < part.bytes / 8 < 6_000
    assert part.note == "with 8 subscriptions"
    for client in clients:
        client.reset()
    await running.balanced()
