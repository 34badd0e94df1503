"""``attach``: the task ledger and the control plane for any asyncio program.

The module is not named ``attach``, because importing it would replace the function ``qcfeed.attach``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

import msgspec

from qcfeed.control import paths, routes
from qcfeed.control.audit import AuditLog, timestamp
from qcfeed.control.handlers import findings, history, report, tasks
from qcfeed.diagnostics import snapshot
from qcfeed.diagnostics.histogram import Histogram
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.errors import NoRunningLoopError, NotFoundError
from qcfeed.metrics import memory
from qcfeed.metrics.catalog.metrics import DELAY_BUCKETS
from qcfeed.metrics.recent_history import RecentHistory
from qcfeed.model.feeds import CancelFeedsRequest
from qcfeed.model.status import Memory, Process
from qcfeed.model.tasks import TaskTotals
from qcfeed.supported import require_supported_interpreter

if TYPE_CHECKING:
    from qcfeed.control.server import ControlServer
    from qcfeed.metrics.collectors import Collector


def attach(
    instance: str,
    *,
    socket: Path | str | None = None,
    control_listen: tuple[str, int] | None = None,
    audit_log: Path | str | None = None,
    orphan_grace: float = 0.0,
    spawn_stacks: int = 0,
) -> Attached:
    """Make this program answer ``qcfeed --instance INSTANCE status``, ``tasks``, ``orphans`` and so on.

    Call it in the running loop that is to be watched, with one instance name per loop::

        async def main() -> None:
            async with qcfeed.attach("billing", orphan_grace=5):
                await serve()

    It starts the task ledger, the watch on the loop and the control plane, and returns a handle that
    stops them. Tasks that were created before are counted as *untracked*.

    - ``instance``: the name by which the commands find the program. One program at a time may use it.
    - ``socket``: the path of the control plane's Unix socket, instead of the instance's default path.
      Commands then need ``qcfeed --socket PATH``.
    - ``control_listen``: loopback host and port, to serve the control plane over TCP as well, with a
      bearer token.
    - ``audit_log``: the file in which actions are recorded; by default one in the state directory.
    - ``orphan_grace``: seconds that an owner may be gone before its tasks count as orphans.
    - ``spawn_stacks``: how many frames to keep for each spawn, for ``qcfeed tasks show``; 0 for none.

    Raises UnsupportedInterpreterError on a free-threaded Python and on any Python but CPython,
    NoRunningLoopError outside a running loop, ConfigError for an invalid name or address, and
    StartError if the instance name is taken or the socket, port or log cannot be opened. After an
    error nothing is left running.

    Cost: the call blocks the loop for 5 ms, and for 0.2 s more if it imports aiohttp. After that: the
    cost of the ledger for each task (see ``Ledger``), three threads that mostly sleep, a timer in the
    loop 20 times per second, and a snapshot every 10 s (0.8 us per live task, in a thread).
    """
    require_supported_interpreter()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise NoRunningLoopError(
            f"attach({instance!r}) was called without a running event loop",
            hint="call it in a coroutine: in main(), or in the application's startup hook",
        ) from None
    # Imported here because it imports aiohttp, which programs that never attach should not pay for.
    from qcfeed.control.server import ControlServer

    ledger, watch = Ledger(spawn_stacks=spawn_stacks), LoopWatch(lags=Histogram(DELAY_BUCKETS))
    recent = RecentHistory()
    sampler = DiagnosticsSampler(ledger, watch, grace=orphan_grace, on_snapshot=recent.note)
    audit = AuditLog(paths.audit_path(instance) if audit_log is None else Path(audit_log))
    server = ControlServer(
        [
            *tasks.routes(ledger, watch, grace=orphan_grace),
            *findings.routes(sampler),
            *history.routes(recent, sampler),
            *report.routes(audit),
            *_Program(ledger, watch).table(),
        ],
        instance=paths.instance_name(instance),
        socket=paths.socket_path(instance) if socket is None else Path(socket),
        loop=loop,
        watch=watch,
        audit=audit,
        listen=control_listen,
    )
    with contextlib.ExitStack() as undo:
        ledger.install(loop)
        undo.callback(ledger.uninstall)
        watch.start(loop)
        undo.callback(watch.stop)
        sampler.start(loop)
        undo.callback(sampler.stop)
        server.start()
        return Attached(instance, ledger, watch, server, undo.pop_all())


class Attached:
    """The handle that ``attach`` returns. ``close``, or the end of its ``with`` or ``async with`` block,
    detaches the program.

    It need not be closed. The process may end at any time; the next process with that instance name
    replaces the socket.
    """

    def __init__(
        self,
        instance: str,
        ledger: Ledger,
        watch: LoopWatch,
        server: ControlServer,
        undo: contextlib.ExitStack,
    ) -> None:
        self.instance = instance
        self.ledger = ledger
        self._watch = watch
        self._server = server
        self._undo = undo

    @property
    def socket(self) -> Path:
        """The path of the control plane's Unix socket."""
        return self._server.socket

    @property
    def port(self) -> int | None:
        """The control plane's loopback port; None without ``control_listen``."""
        return self._server.port

    def collector(self) -> Collector:
        """A collector for a prometheus-client registry: tasks, loop lag and the memory limit.

        ::

            REGISTRY.register(attached.collector())

        Cost: each scrape takes a snapshot (0.5 us per live task) in the thread that collects. If that
        is another thread, as with ``start_http_server``, the loop goes on meanwhile.
        """
        from qcfeed.metrics import program
        from qcfeed.metrics.collectors import Collector

        return Collector(program.ProgramSamples(self.ledger, self._watch).read)

    def close(self) -> None:
        """Stop the control plane, and restore the task factory. The program goes on.

        Call it in the loop's thread, or after the loop has stopped. A second call does nothing.
        It blocks until the control plane's thread has ended: for milliseconds, or for about a second
        if an action is under way, which is then cancelled. ``async with`` does not block the loop
        meanwhile. In a forked child it does not affect the parent.
        """
        self._server.stop()
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._server.stop)
        self.close()


class _Program:
    """The answers of an attached program: ``process``, and an error for everything about feeds."""

    def __init__(self, ledger: Ledger, watch: LoopWatch) -> None:
        self._ledger = ledger
        self._watch = watch
        self._since = timestamp()
        self._begun = time.monotonic()

    def table(self) -> list[routes.Route]:
        return [
            routes.Read(routes.PROCESS, routes.NoQuery, self.process),
            routes.Read(routes.STATUS, routes.NoQuery, _no_feeds),
            routes.Read(routes.FEEDS, routes.NoQuery, _no_feeds),
            routes.Action(
                routes.FEEDS_CANCEL, "feeds cancel", CancelFeedsRequest, _nothing_to_cancel
            ),
        ]

    def process(self, _: routes.NoQuery) -> Process:
        """Cost: a snapshot, 0.5 us per live task."""
        self._ledger.check.refresh()
        totals = snapshot.by_location(self._ledger, time.monotonic()).totals
        limit = memory.limit()
        return Process(
            python=platform.python_version(),
            attached_at=self._since,
            attached_s=time.monotonic() - self._begun,
            loop_lag_ms=self._watch.lag * 1000,
            memory=Memory(
                resident_bytes=memory.resident(),
                limit_bytes=limit.bytes,
                limit_source=limit.source,
            ),
            totals=msgspec.convert(totals, TaskTotals, from_attributes=True),
        )


async def _nothing_to_cancel(_: CancelFeedsRequest) -> NoReturn:
    _no_feeds()


def _no_feeds(_: routes.NoQuery | None = None) -> NoReturn:
    raise NotFoundError(
        f"this instance has no feeds: it is a program (pid {os.getpid()}) that uses"
        " qcfeed.attach, not the feed service",
        hint="`qcfeed tasks --by-location` and `qcfeed orphans` work with it",
    )
