"""The command line called in this process, and a real control plane over a real ledger to ask."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from qcfeed.cli import main, target
from qcfeed.control import paths
from qcfeed.control.audit import AuditLog
from qcfeed.control.handlers import tasks
from qcfeed.control.routes import Route
from qcfeed.control.server import ControlServer
from qcfeed.diagnostics.ledger import Ledger, owned_by
from qcfeed.diagnostics.loop_watch import LoopWatch


@pytest.fixture(autouse=True)
def _command_line() -> Iterator[None]:
    """The target that a test names ends with it."""
    with target.command_line():
        yield


@dataclass
class Left:
    """What a command left with."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No instance, configuration or terminal of the machine that runs the tests is in sight."""
    # Short: a socket's path has 107 bytes, and that of a worker's directory is 10 longer.
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.split("_")[1].lower()))
    foreign = ("NO_COLOR", "FORCE_COLOR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    for name in [name for name in os.environ if name.startswith("QCFEED_")]:
        monkeypatch.delenv(name)
    for name in (*foreign, *map(str.lower, foreign)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def qcfeed_(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Left]:
    def call(*args: str) -> Left:
        monkeypatch.setattr(sys, "argv", ["qcfeed", *args])
        with pytest.raises(SystemExit) as left:
            main.run()
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Left(left.value.code, out, err)

    return call


@dataclass
class Watched:
    """The test's own loop, watched, and how to begin control planes for it."""

    ledger: Ledger
    watch: LoopWatch
    serve: Callable[..., ControlServer]


@pytest_asyncio.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    ledger, watch = Ledger(), LoopWatch()
    loop = asyncio.get_running_loop()
    ledger.install(loop)
    watch.start(loop)
    async with contextlib.AsyncExitStack() as stack:

        def serve(
            instance: str = "8006", routes: list[Route] | None = None, **more: Any
        ) -> ControlServer:
            server = ControlServer(
                tasks.routes(ledger, watch) if routes is None else routes,
                instance=instance,
                socket=paths.socket_path(instance),
                loop=loop,
                watch=watch,
                audit=AuditLog(tmp_path / f"{instance}.jsonl"),
                **more,
            )
            server.start()
            stack.push_async_callback(asyncio.to_thread, server.stop)
            return server

        yield Watched(ledger, watch, serve)
    watch.stop()
    ledger.uninstall()


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


@pytest_asyncio.fixture
async def sleepers() -> AsyncIterator[Callable[..., list[asyncio.Task[None]]]]:
    """Spawns tasks, from one line if their owner is gone and from another if not."""
    spawned: list[asyncio.Task[None]] = []

    def spawn(
        number: int, *, orphaned: bool = False, name: str = "sleeper"
    ) -> list[asyncio.Task[None]]:
        for _ in range(number):
            if orphaned:
                with owned_by(lambda: True):
                    spawned.append(asyncio.create_task(forever(), name=name))
            else:
                spawned.append(asyncio.create_task(forever(), name=name))
        return spawned[-number:]

    yield spawn
    for task in spawned:
        task.cancel()
    await asyncio.gather(*spawned, return_exceptions=True)
