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
"""Seconds of a time that must not be over before a test is."""


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Start a service with these options; it is stopped, and must leave nothing, at the end."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
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
            # A connection that answers no ping, or does not read, is lost only where that is tried.
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
    """Peers have as long as they like to finish a head and to answer a close frame."""
    monkeypatch.setattr("qcfeed.ws.pending.HEAD_TIMEOUT", FAR)
    monkeypatch.setattr("qcfeed.ws.connection.CLOSE_TIMEOUT", FAR)


@pytest.fixture
def never_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """No silence is put down to a loop that turned too late, as it may on a busy machine."""
    monkeypatch.setattr("qcfeed.feed.staleness.OWN_LAG_LIMIT", FAR)


@pytest.fixture
async def running(start: Start) -> Running:
    """A service with quick feeds and a short linger."""
    return await start()


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> ScriptedUpstream:
    """The upstream of every service that this test starts."""
    scripted = ScriptedUpstream()
    monkeypatch.setattr("qcfeed.service.app.connect", lambda _: scripted)
    return scripted
