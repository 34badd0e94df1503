"""``attach``: the task ledger and the control plane for any asyncio program.

The module is not named ``attach``, because importing it would replace the function ``qcfeed.attach``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import logging
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from qcfeed.control import listeners, paths
from qcfeed.control.audit import AuditLog
from qcfeed.control.handlers import findings, history, report, tasks
from qcfeed.control.handlers.program import ProgramHandlers
from qcfeed.diagnostics.code_origin import declare_application
from qcfeed.diagnostics.histogram import Histogram
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.errors import InstanceTakenError, NoRunningLoopError, QcfeedError, StartError
from qcfeed.metrics.catalog.metrics import DELAY_BUCKETS
from qcfeed.metrics.recent_history import RecentHistory
from qcfeed.supported import require_supported_interpreter

if TYPE_CHECKING:
    from qcfeed.control.server import ControlServer
    from qcfeed.metrics.collectors import Collector

log = logging.getLogger(__name__)

AUDIT_SUFFIX = ".audit.jsonl"

_OWN_DIRECTORY = str(Path(__file__).parent)

_handles: set[Attached] = set()
"""The handles of this process that are not closed."""
os.register_at_fork(after_in_child=_handles.clear)


def attach(
    instance: str,
    *,
    socket: Path | str | None = None,
    control_listen: tuple[str, int] | None = None,
    audit_log: Path | str | None = None,
    orphan_grace: float = 0.0,
    spawn_stacks: int = 0,
    through: Collection[str] = (),
    strict: bool = False,
) -> Attached:
    """Make this program answer ``qcfeed --instance INSTANCE status``, ``tasks``, ``orphans`` and so on.

    Call it in the running loop that is to be watched, with one instance name per loop::

        async def main() -> None:
            async with qcfeed.attach("billing", orphan_grace=5):
                await serve()

    It starts the task ledger, the watch on the loop and the control plane, and returns a handle that
    stops them. Tasks that were created before are counted as *untracked*.

    - ``instance``: the name by which the commands find the program. If another program or loop has it,
      this one becomes ``INSTANCE-2`` and so on. A second call in one loop returns the first handle. If
      the earlier loop of this process that had the name is closed, the name passes to this loop.
    - ``socket``: the path of the control plane's Unix socket, instead of the instance's default path.
      Commands then need ``qcfeed --socket PATH``.
    - ``control_listen``: loopback host and port, to serve the control plane over TCP as well, with a
      bearer token.
    - ``audit_log``: the file in which actions are recorded; by default one in the state directory.
    - ``orphan_grace``: seconds that an owner may be gone before its tasks count as orphans.
    - ``spawn_stacks``: how many frames to keep for each spawn, for ``qcfeed tasks show``; 0 for none.
    - ``through``: functions, classes or modules of the program that create tasks for their callers, for
      example ``["myapp.tasks.spawn"]``: the line that calls them is the spawn location.
    - ``strict``: raise StartError if anything does not work, and InstanceTakenError if the name is taken.

    The program must not fail because it is observed. So whatever the machine refuses (a directory, a
    descriptor, a port, a thread) is logged as a warning with what does not work and what to do, and is
    in the handle's ``problems``; with ``strict`` it is raised, and nothing is left running. Mistakes in
    the call are always raised: UnsupportedInterpreterError on a free-threaded Python and on any Python
    but CPython, NoRunningLoopError outside a running loop, ConfigError for an invalid name or address.

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
    paths.instance_name(instance)
    if control_listen is not None:
        listeners.check_loopback(control_listen[0])
    if (earlier := _earlier(instance, loop)) is not None:
        _refuse_twice(instance, strict=strict)
        return earlier
    caller = sys._getframe(1).f_code.co_filename  # noqa: SLF001
    if not caller.startswith(_OWN_DIRECTORY):  # `qcfeed attach PID` calls this function too
        declare_application(caller)
    ledger = Ledger(spawn_stacks=spawn_stacks, through=through)
    handle = Attached(instance, loop, ledger, orphan_grace, strict=strict)
    with contextlib.ExitStack() as undo:
        undo.callback(handle.close)
        handle.start(
            None if socket is None else Path(socket),
            None if audit_log is None else Path(audit_log),
            control_listen,
        )
        undo.pop_all()
    return handle


def handle_of(loop: asyncio.AbstractEventLoop) -> Attached | None:
    """The first open handle of a loop; None if it is not attached."""
    return next((each for each in list(_handles) if each.loop is loop), None)


def _earlier(instance: str, loop: asyncio.AbstractEventLoop) -> Attached | None:
    """The handle that this loop has under this name. Those of closed loops are closed."""
    found = None
    # A copy, because closing a handle removes it.
    for handle in list(_handles):
        if handle.requested == instance:
            if handle.loop is loop:
                found = handle
            elif handle.loop.is_closed():
                handle.close()
    return found


def _refuse_twice(instance: str, *, strict: bool) -> None:
    message = f"this loop is attached as {instance} already"
    hint = "close() the handle first, to attach it anew with other options"
    if strict:
        raise InstanceTakenError(message, hint=hint)
    log.warning("attach: %s; the existing handle is returned; %s", message, hint)


class Attached:
    """The handle that ``attach`` returns. ``close``, or the end of its ``with`` or ``async with`` block,
    detaches the program.

    It need not be closed. The process may end at any time; the next process with that instance name
    replaces the socket.
    """

    def __init__(
        self,
        instance: str,
        loop: asyncio.AbstractEventLoop,
        ledger: Ledger,
        orphan_grace: float,
        *,
        strict: bool,
    ) -> None:
        self.requested = instance
        """The name that ``attach`` was called with."""
        self.instance = instance
        """The name by which the commands find the program."""
        self.problems: list[str] = []
        """What does not work, and why; one sentence each."""
        self.loop = loop
        self.ledger = ledger
        self._watch = LoopWatch(lags=Histogram(DELAY_BUCKETS))
        self._recent = RecentHistory()
        self._sampler = DiagnosticsSampler(
            self.ledger, self._watch, grace=orphan_grace, on_snapshot=self._recent.note
        )
        self._program = ProgramHandlers(self.ledger, self._watch)
        self._grace = orphan_grace
        self._strict = strict
        self._server: ControlServer | None = None
        self._undo = contextlib.ExitStack()

    def start(
        self, socket: Path | None, audit_log: Path | None, listen: tuple[str, int] | None
    ) -> None:
        """Start all parts. ``attach`` calls it, with its own arguments."""
        _handles.add(self)
        self._undo.callback(_handles.discard, self)
        # Before the installation, which may fail when half of it is done.
        self._undo.callback(self.ledger.uninstall)
        with self._unless_refused("the task ledger, so tasks are not recorded"):
            self._install_ledger()
        with contextlib.suppress(Exception):  # _serve() reports it
            # Before the watch begins, which would report the import as a stall of the program.
            importlib.import_module("qcfeed.control.server")
        self._watch.start(self.loop)
        self._undo.callback(self._watch.stop)
        self._undo.callback(self._sampler.stop)
        with self._unless_refused("the sampler, so there are no findings and no history"):
            self._start_sampler()
        if listen is not None:
            with self._unless_refused("TCP, so only the Unix socket is served"):
                self._serve(socket, audit_log, listen)
        if self._server is None:
            lost = f"the control plane, so `qcfeed --instance {self.requested}` finds no program"
            with self._unless_refused(lost):
                self._serve(socket, audit_log, None)

    def _install_ledger(self) -> None:
        try:
            self.ledger.install(self.loop)
        except Exception as error:
            self.ledger.give_up(error)  # every later answer says so
            raise

    def _start_sampler(self) -> None:
        try:
            self._sampler.start(self.loop)
        except Exception as error:
            self._sampler.failure = str(error)  # `tasks findings` says so
            raise

    def _serve(
        self, socket: Path | None, audit_log: Path | None, listen: tuple[str, int] | None
    ) -> None:
        """Start the control plane under the first name that is free."""
        taken: InstanceTakenError | None = None
        for name, path in _names(self.requested, socket):
            audit = AuditLog(path.with_suffix(AUDIT_SUFFIX))
            server = self._control_server(name, path, audit, listen)
            try:
                server.start(check_audit=False)
            except InstanceTakenError as error:
                if self._strict:
                    raise
                taken = taken or error
                continue
            self._undo.callback(server.stop)
            self._server, self.instance = server, name
            # After the start: the default path contains the name, which is known only now.
            self._choose_audit_log(audit, audit_log)
            if taken is not None:
                log.warning(
                    "attach: %s; this program is %s: `qcfeed --instance %s status`",
                    taken.message, name, name,
                )  # fmt: skip
            return

    def _control_server(
        self, name: str, socket: Path, audit: AuditLog, listen: tuple[str, int] | None
    ) -> ControlServer:
        # Imported here because it imports aiohttp, which programs that never attach should not pay for.
        from qcfeed.control.server import ControlServer

        return ControlServer(
            [
                *tasks.routes(self.ledger, self._watch, grace=self._grace),
                *findings.routes(self._sampler),
                *history.routes(self._recent, self._sampler),
                *report.routes(audit),
                *self._program.table(),
            ],
            instance=name,
            socket=socket,
            loop=self.loop,
            watch=self._watch,
            audit=audit,
            listen=listen,
        )

    def _choose_audit_log(self, audit: AuditLog, given: Path | None) -> None:
        """Record actions in the given file or the state directory; beside the socket if neither works."""
        beside = audit.path
        lost = f"the audit log in its usual place; actions are recorded in {beside} instead, or refused"
        with self._unless_refused(lost):
            usual = AuditLog(paths.audit_path(self.instance) if given is None else given)
            usual.check()
            audit.path = usual.path

    @contextlib.contextmanager
    def _unless_refused(self, part: str) -> Iterator[None]:
        """Go on without a part that cannot be started; in strict mode raise StartError."""
        try:
            yield
        except Exception as error:
            if self._strict and isinstance(error, QcfeedError):
                raise
            refused = _as_start_error(error)
            if self._strict:
                raise refused from error
            hint = f"; {refused.hint}" if refused.hint else ""
            self.problems.append(f"attach goes on without {part}: {refused.message}{hint}")
            log.warning("%s", self.problems[-1])

    @property
    def socket(self) -> Path | None:
        """The path of the control plane's Unix socket; None if it could not be started."""
        return self._server.socket if self._server else None

    @property
    def port(self) -> int | None:
        """The control plane's loopback port; None without ``control_listen``."""
        return self._server.port if self._server else None

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

    def stop_answering(self) -> None:
        """Stop the control plane alone, from any thread but the loop's: ``close`` then blocks the loop only
        shortly. Takes up to three seconds if actions run."""
        if self._server is not None:
            self._server.stop()

    def close(self) -> None:
        """Stop the control plane, and restore the task factory. The program goes on.

        Call it in the loop's thread, or after the loop has stopped. A second call does nothing.
        It blocks until the control plane's thread has ended: for milliseconds, or for about a second
        if an action is under way, which is then cancelled. ``async with`` does not block the loop
        meanwhile. In a forked child it does not affect the parent.
        """
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop_answering)
        self.close()


def _names(instance: str, socket: Path | None) -> Iterator[tuple[str, Path]]:
    """The instance names to try, each with the path of its socket: the requested one, then ``NAME-2``."""
    for number in itertools.count(1):
        suffix = "" if number == 1 else f"-{number}"
        name = f"{instance}{suffix}"
        yield (
            name,
            paths.socket_path(name)
            if socket is None
            else socket.with_name(f"{socket.stem}{suffix}{socket.suffix}"),
        )


def _as_start_error(error: Exception) -> QcfeedError:
    if isinstance(error, QcfeedError):
        return error
    return StartError(f"{type(error).__name__}: {error}")
