"""How long ``qcfeed repro`` waits for a server that drops half-open peers one by one."""

from __future__ import annotations

import asyncio

import pytest

from qcfeed.client.cycles import Cycler, Mode
from qcfeed.client.raw_peer import locate
from qcfeed.model.symbol import Symbol
from tests.support.scripted_server import ScriptedServer, Visit, quote

PEERS = 3
PATIENCE = 1_000.0
"""Seconds of the loop's clock, far longer than any real run."""
DROPPED = f"{Mode.HALF_OPEN}: dropped by the server"


class Clock:
    """A clock that also advances when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._time, self._passed = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: self._time() + self._passed)

    def passes(self, seconds: float) -> None:
        self._passed += seconds


class Noted:
    """A Progress that a test can wait for."""

    def __init__(self) -> None:
        self.dropped: asyncio.Queue[int] = asyncio.Queue()
        self._phase = ""

    def phase(self, label: str, _total: int) -> None:
        self._phase = label
        if label == DROPPED:
            self.dropped.put_nowait(0)

    def advance(self, steps: int) -> None:
        if self._phase == DROPPED:
            self.dropped.put_nowait(steps)


async def quoting(visit: Visit) -> None:
    await visit.upgrade()
    await visit.say(quote(1))
    await visit.stay()


async def begun(server: ScriptedServer, noted: Noted) -> asyncio.Task[int]:
    """A run whose peers are all connected, waiting for the server to drop them."""
    server.script = quoting
    cycler = Cycler(
        endpoint=server.endpoint,
        address=await locate(server.endpoint),
        symbol=Symbol("AAPL"),
        quiet_symbol=Symbol("ZVZZT"),
        concurrency=PEERS,
        progress=noted,
    )
    running = asyncio.create_task(cycler.half_open(PEERS, PATIENCE))
    assert await noted.dropped.get() == 0
    return running


async def test_each_dropped_peer_restarts_the_timeout(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, noted = Clock(monkeypatch), Noted()
    running = await begun(server, noted)
    for visit in list(server.visits):
        clock.passes(0.8 * PATIENCE)  # in total more than twice the timeout
        visit.cut()
        news = asyncio.create_task(noted.dropped.get())
        await asyncio.wait({running, news}, return_when=asyncio.FIRST_COMPLETED)
        assert not running.done() or news.done(), f"{running.result()} peers were given up"
        assert await news == 1
    assert await running == 0


async def test_a_server_that_drops_no_peer_is_waited_for_exactly_the_timeout(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, noted = Clock(monkeypatch), Noted()
    running = await begun(server, noted)
    clock.passes(0.8 * PATIENCE)
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert not running.done()
    clock.passes(0.2 * PATIENCE)
    assert await running == PEERS
