"""Starts the parts of an attached program, and goes on without those that the machine refuses."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qcfeed.control import paths
from qcfeed.control.audit import AuditLog
from qcfeed.control.handlers import findings, history, memory, report, tasks
from qcfeed.control.handlers.program import ProgramHandlers
from qcfeed.diagnostics.histogram import Histogram
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.memory_report import OWN_STORE, Store
from qcfeed.diagnostics.object_sizes import ObjectSizes
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.errors import InstanceTakenError, QcfeedError, StartError
from qcfeed.metrics.catalog.metrics import DELAY_BUCKETS
from qcfeed.metrics.recent_history import RecentHistory

if TYPE_CHECKING:
    from qcfeed.control.server import ControlServer

log = logging.getLogger(__name__)

AUDIT_SUFFIX = ".audit.jsonl"


class Parts:
    """The ledger, the watch on the loop, the sampler and the control plane of one loop.

    ``requested``: the instance name that the program asked for. ``orphan_grace``: as for ``attach``.
    ``strict``: raise StartError if a part cannot be started, instead of a warning.
    """

    def __init__(
        self,
        requested: str,
        loop: asyncio.AbstractEventLoop,
        ledger: Ledger,
        orphan_grace: float,
        *,
        strict: bool,
    ) -> None:
        self.requested = self.instance = requested
        self.problems: list[str] = []
        """What does not work, and why; one sentence each."""
        self.loop = loop
        self.ledger = ledger
        self.watch = LoopWatch(lags=Histogram(DELAY_BUCKETS))
        self.server: ControlServer | None = None
        """None if the control plane could not be started."""
        self._recent = RecentHistory()
        self._sampler = DiagnosticsSampler(
            ledger, self.watch, grace=orphan_grace, on_snapshot=self._recent.note
        )
        self._program = ProgramHandlers(ledger, self.watch)
        self._grace = orphan_grace
        self._strict = strict
        self._undo = contextlib.ExitStack()

    def start(
        self, socket: Path | None, audit_log: Path | None, listen: tuple[str, int] | None
    ) -> None:
        """Start all parts; the arguments are those of ``attach``.

        Raises StartError in strict mode; ``close`` ends the parts that have been started.
        """
        # Registered before the installation, which may fail half-way.
        self._undo.callback(self.ledger.uninstall)
        with self._unless_refused("the task ledger, so tasks are not recorded"):
            self._install_ledger()
        with contextlib.suppress(Exception):  # _serve() reports it
            # Before the watch starts: it would report this import as a stall of the program.
            importlib.import_module("qcfeed.control.server")
        self.watch.start(self.loop)
        self._undo.callback(self.watch.stop)
        self._undo.callback(self._sampler.stop)
        with self._unless_refused("the sampler, so there are no findings and no history"):
            self._start_sampler()
        if listen is not None:
            with self._unless_refused("TCP, so only the Unix socket is served"):
                self._serve(socket, audit_log, listen)
        if self.server is None:
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
            self.server, self.instance = server, name
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
        # Imported here, because it imports aiohttp: programs that never attach should not pay for that.
        from qcfeed.control.server import ControlServer

        return ControlServer(
            [
                *tasks.routes(self.ledger, self.watch, grace=self._grace),
                *findings.routes(self._sampler),
                *history.routes(self._recent, self._sampler),
                *memory.routes(self.ledger, self._stores),
                *report.routes(audit),
                *self._program.table(),
            ],
            instance=name,
            socket=socket,
            loop=self.loop,
            watch=self.watch,
            audit=audit,
            listen=listen,
        )

    def _stores(self, _: ObjectSizes) -> list[Store]:
        return [Store(OWN_STORE, [self.ledger, self._sampler, self._recent], outside=[self.loop])]

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

    def close(self) -> None:
        """End all parts, the last one first. A second call does nothing."""
        self._undo.close()


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
