"""``attach``: the ledger and the control plane in somebody else's program.

The module is not called ``attach``: importing it would put itself in the function's place.
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
from qcfeed.model import answers
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
    """From now on ``qcfeed --instance INSTANCE tasks``, ``orphans`` and ``status`` see this program.

    Call it where the loop runs that is to be watched; a loop an instance. ``socket``: another path
    than the instance's own, then reached by ``qcfeed --socket``. ``control_listen``: loopback host
    and port for the control plane over TCP as well. ``audit_log``: where actions are recorded.
    ``orphan_grace``: seconds that an owner may be gone before its tasks count as orphans.
    ``spawn_stacks``: frames to keep of each spawn, for ``qcfeed tasks show``.

    Raises UnsupportedInterpreterError on a free-threaded Python and on others than CPython,
    NoRunningLoopError outside a loop, StartError when the instance's name is taken or something
    cannot be made, ConfigError for a name or an address that cannot be. Nothing is left behind then.

    Cost: the loop is held up for what the first import of aiohttp takes (0.2 s) and 5 ms; then the
    ledger's for each task, three threads that mostly sleep, a timer 20 times a second and a snapshot
    every 10 s (0.8 us a live task). It does not see tasks made before it but as *untracked*.
    """
    require_supported_interpreter()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise NoRunningLoopError(
            f"attach({instance!r}) was called where no event loop runs",
            hint="call it in a coroutine: the first line of main(), or where the application starts",
        ) from None
    # aiohttp with it: not for those who import qcfeed and never attach.
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
    """What ``attach`` gives: the program is seen until ``close``, or the end of its ``with`` block.

    Nothing is lost by never closing it: the process may end at any time, and the next one that
    takes the name replaces the socket.
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
        """Where the control plane listens."""
        return self._server.socket

    @property
    def port(self) -> int | None:
        """Its loopback port, where one was asked for."""
        return self._server.port

    def collector(self) -> Collector:
        """The program's tasks, loop lag and memory limit, for its own registry of prometheus-client's:
        ``REGISTRY.register(attached.collector())``.

        A scrape costs a snapshot (0.5 us a live task) where it is collected: in a thread, as
        ``start_http_server`` does, the loop goes on meanwhile.
        """
        from qcfeed.metrics import program
        from qcfeed.metrics.collectors import Collector

        return Collector(program.ProgramSamples(self.ledger, self._watch).read)

    def close(self) -> None:
        """No answers from now on, and the task factory as it was found; the program goes on.

        In the loop's thread, or once the loop has stopped; a second time it does nothing. Waits for
        the control plane's thread: milliseconds, and about a second when an action is under way,
        which is then cancelled. ``async with`` does not hold up the loop meanwhile.
        In a forked child it touches nothing of the parent's.
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
    """What any program can tell of itself, and what only the feed service could."""

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
                routes.FEEDS_CANCEL, "feeds cancel", answers.CancelFeedsRequest, _nothing_to_cancel
            ),
        ]

    def process(self, _: routes.NoQuery) -> answers.Process:
        """Cost: a snapshot, 0.5 us a live task."""
        self._ledger.check.refresh()
        totals = snapshot.by_location(self._ledger, time.monotonic()).totals
        limit = memory.limit()
        return answers.Process(
            python=platform.python_version(),
            attached_at=self._since,
            attached_s=time.monotonic() - self._begun,
            loop_lag_ms=self._watch.lag * 1000,
            memory=answers.Memory(
                resident_bytes=memory.resident(),
                limit_bytes=limit.bytes,
                limit_source=limit.source,
            ),
            totals=msgspec.convert(totals, answers.TaskTotals, from_attributes=True),
        )


async def _nothing_to_cancel(_: answers.CancelFeedsRequest) -> NoReturn:
    _no_feeds()


def _no_feeds(_: routes.NoQuery | None = None) -> NoReturn:
    raise NotFoundError(
        f"this instance has no feeds: it is a program (pid {os.getpid()}) attached with"
        " qcfeed.attach, not the feed service",
        hint="`qcfeed tasks --by-location` and `qcfeed orphans` work with it",
    )
