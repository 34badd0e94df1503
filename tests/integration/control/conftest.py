"""A watched loop in a thread, as a service is to its control plane, and servers beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qcfeed.control.audit import AuditLog
from qcfeed.control.client import ControlClient
from qcfeed.control.handlers import tasks
from qcfeed.control.paths import ControlAddress
from qcfeed.control.routes import Route
from qcfeed.control.server import ControlServer
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from tests.support.patience import PATIENCE


class Watched:
    """A loop that turns in a thread, with a ledger and a watch."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.watch = LoopWatch()
        self.loop = asyncio.new_event_loop()
        self._released = threading.Event()
        # A daemon, so that a loop which a failing test left stuck does not keep the suite from ending.
        self._thread = threading.Thread(target=self._run, name="watched", daemon=True)
        self._thread.start()
        self.call(lambda: None)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.ledger.install(self.loop)
        self.loop.call_soon(self.watch.start, self.loop)
        self.loop.run_forever()
        self.loop.close()

    def call(self, function: Callable[[], Any]) -> Any:
        """What ``function`` returns, called in the loop."""

        async def called() -> Any:
            return function()

        return self.run(called())

    def run(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(PATIENCE)

    def block(self) -> None:
        """Keep the loop from turning until ``release``."""
        blocked = threading.Event()

        def stuck_in_a_callback() -> None:
            blocked.set()
            self._released.wait(PATIENCE)

        self.loop.call_soon_threadsafe(stuck_in_a_callback)
        assert blocked.wait(PATIENCE)

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        if self.loop.is_closed():
            return
        self.release()
        try:
            self.call(self.watch.stop)
            self.run(self._cancel_all())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.loop.shutdown_default_executor()


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.close()


class Plane:
    """One control plane under test: its server, its files, and clients for it."""

    def __init__(self, server: ControlServer, directory: Path, audit: AuditLog) -> None:
        self.server = server
        self.directory = directory
        self.audit = audit

    def client(self, timeout: float = PATIENCE) -> ControlClient:
        return ControlClient(ControlAddress(socket=self.server.socket), timeout=timeout)

    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.audit.path.read_bytes().splitlines()]


@pytest.fixture
def serve(watched: Watched, tmp_path: Path) -> Iterator[Callable[..., Plane]]:
    """Starts control planes; each is stopped in the end."""
    servers: list[ControlServer] = []

    def start(instance: str = "8006", routes: list[Route] | None = None, **kw: Any) -> Plane:
        directory = kw.pop("directory", tmp_path / "run")
        audit = kw.pop("audit", None) or AuditLog(tmp_path / "state" / f"{instance}.jsonl")
        server = ControlServer(
            tasks.routes(watched.ledger, watched.watch) if routes is None else routes,
            instance=instance,
            socket=directory / f"{instance}.sock",
            loop=watched.loop,
            watch=watched.watch,
            audit=audit,
            token=directory / "control.token",
            **kw,
        )
        servers.append(server)
        server.start()
        return Plane(server, directory, audit)

    yield start
    watched.release()
    for server in servers:
        server.stop()
