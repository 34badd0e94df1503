"""One service per test, started and stopped in the test's loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from qcfeed.config import Config
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.service.app import Service
from tests.support.patience import PATIENCE
from tests.support.running_service import Running
from tests.support.scripted_upstream import ScriptedUpstream

Start = Callable[..., Awaitable[Running]]

FAR = 10 * PATIENCE
"""Seconds for timeouts that must not expire during a test."""


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Start a service with these options; at the end it is stopped and must leave nothing behind."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # A client in the loop of a busy machine may take long to send its request; tests of this timeout set it.
    monkeypatch.setattr("qcfeed.ws.pending.HEAD_TIMEOUT", FAR)
    (tmp_path / "run").mkdir()
    ledger = Ledger()
    ledger.install(asyncio.get_running_loop())
    started: list[Running] = []

    async def start(**options: Any) -> Running:
        quick: dict[str, Any] = {
            "port": 0,
            "monitor": False,
            "upstream": "sim:?rate=20",
            "linger": 0.05,
            # Connections that answer no ping or do not read time out only in tests of those timeouts.
            "ping_interval": 0,
            "stall_timeout": FAR,
        }
        service = Service(Config(**quick | options), ledger)
        running = Running(service, ledger)
        running.remember_residents()
        started.append(running)
        await service.start()
        return running

    yield start
    for running in started:
        async with asyncio.timeout(PATIENCE):
            await running.service.stop()
        await running.balanced()
    ledger.uninstall()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers have unlimited time to answer a close frame."""
    monkeypatch.setattr("qcfeed.ws.connection.CLOSE_TIMEOUT", FAR)


@pytest.fixture
def never_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """No silence counts as the service's own lag, which can happen on a busy machine."""
    monkeypatch.setattr("qcfeed.feed.staleness.OWN_LAG_LIMIT", FAR)


@pytest.fixture
async def running(start: Start) -> Running:
    """A service with fast feeds and a short linger."""
    return await start()


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> ScriptedUpstream:
    """The upstream of every service this test starts."""
    scripted = ScriptedUpstream()
    monkeypatch.setattr("qcfeed.service.app.connect", lambda *_, **__: scripted)
    return scripted
