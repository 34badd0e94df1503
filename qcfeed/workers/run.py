"""``qcfeed serve --workers N``: the supervisor's process, from its start to the end of all workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

from qcfeed import __version__
from qcfeed.config import Config, NatsConfig
from qcfeed.control import paths
from qcfeed.control.audit import AuditLog
from qcfeed.control.handlers import report, tasks
from qcfeed.control.recent_log import RecentLog
from qcfeed.control.routes import ORPHANS, REAP
from qcfeed.control.server import ControlServer
from qcfeed.diagnostics.histogram import Histogram
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.errors import ExitStatus, StartError
from qcfeed.formats import plural
from qcfeed.metrics.catalog.metrics import DELAY_BUCKETS
from qcfeed.net import listen
from qcfeed.service.run import (
    install_signal_handlers,
    report_ledger,
    say,
    start_logging,
    warn_if_exposed,
)
from qcfeed.service.systemd import Notifier
from qcfeed.workers import plan
from qcfeed.workers.control import WorkersHandlers
from qcfeed.workers.supervisor import Supervisor


def serve(config: Config, nats: NatsConfig) -> int:
    """Run the group until a signal; returns the exit status. Raises StartError or ConfigError."""
    plan.check(config, nats)
    recent, _ = start_logging(config.log_format)
    ledger = Ledger()
    with asyncio.Runner() as runner:
        ledger.install(runner.get_loop())
        status = runner.run(_main(config, ledger, recent))
    return report_ledger(ledger, status)


async def _main(config: Config, ledger: Ledger, recent: RecentLog) -> ExitStatus:
    async with contextlib.AsyncExitStack() as parts:
        # Bound for as long as the group runs, and never listening: the port stays the group's, and the
        # kernel gives its connections to the gateways, which share it.
        bound = parts.enter_context(listen.bind(config.host, config.port, "--port", shared=True))
        name = config.instance or str(bound.getsockname()[1])
        directory = paths.runtime_directory() / f"{paths.instance_name(name)}{paths.GROUP_SUFFIX}"
        supervisor = Supervisor(config, name, bound, directory)
        await _start_control(parts, supervisor, ledger, recent)
        _create(directory)
        stopping = asyncio.Event()
        starting = asyncio.create_task(supervisor.start(), name="start workers")
        # From here on: a Ctrl-C ends the start, and with it all that has started.
        install_signal_handlers(stopping)
        if config.tls_cert is not None:
            # Workers look at their certificate's files by themselves; SIGHUP would end the group otherwise.
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _note_reload)
        if not await _started(starting, stopping):
            return ExitStatus.INTERRUPTED
        warn_if_exposed(config)
        say(*_greeting(supervisor))
        with contextlib.closing(Notifier()) as manager:
            manager.ready(f"serves {config.upstream} on {supervisor.websocket}")
            await stopping.wait()
            manager.stopping(f"draining: at most {config.drain_timeout:g} s")
            say(
                f"draining {plural(config.workers, 'worker')}: at most {config.drain_timeout:g} s;"
                " press Ctrl-C again to exit at once"
            )
            return await supervisor.stop()


async def _started(starting: asyncio.Task[None], stopping: asyncio.Event) -> bool:
    """Wait for the start; False if a signal came first. Raises what the start raises."""
    signalled = asyncio.create_task(stopping.wait(), name="wait for a signal")
    try:
        await asyncio.wait((starting, signalled), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return False
        starting.result()
        return True
    finally:
        signalled.cancel()
        await asyncio.wait((signalled,))


async def _start_control(
    parts: contextlib.AsyncExitStack, supervisor: Supervisor, ledger: Ledger, recent: RecentLog
) -> None:
    loop = asyncio.get_running_loop()
    watch = LoopWatch(lags=Histogram(DELAY_BUCKETS))
    watch.start(loop)
    parts.callback(watch.stop)
    audit = AuditLog(paths.audit_path(supervisor.name))
    workers = WorkersHandlers(supervisor)
    server = ControlServer(
        [
            *workers.table(),
            # An operator who asks for orphans means those of the service, not of its supervisor.
            *(each for each in tasks.routes(ledger, watch) if each.path not in (ORPHANS, REAP)),
            *report.routes(audit, log=recent, config=supervisor.config),
        ],
        instance=supervisor.name,
        socket=paths.socket_path(supervisor.name),
        loop=loop,
        watch=watch,
        audit=audit,
        absent=workers.of_one_worker,
    )
    server.start()
    parts.push_async_callback(asyncio.to_thread, server.stop)


def _create(directory: Path) -> None:
    """A new directory for the group. An old one is of a group that was killed: the name is ours now."""
    try:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise StartError(f"cannot create {directory}: {error.strerror}") from error


def _note_reload() -> None:
    say("workers load changed certificate files by themselves, within seconds")


def _greeting(supervisor: Supervisor) -> list[str]:
    at, config = supervisor.websocket, supervisor.config
    name = "" if supervisor.name == at.rpartition(":")[2] else f"--instance {supervisor.name} "
    workers = " ".join(process.name for process in supervisor.processes)
    who = f"pid {os.getpid()}, instance {supervisor.name}"
    tls = "" if config.tls_cert is None else "s"
    return [
        f"qcfeed {__version__} serves {config.upstream} in {plural(config.workers, 'worker')} ({who})",
        f"  quotes   ws{tls}://{at}/quotes/AAPL and /stream   try: qcfeed watch AAPL",
        f"  health   http{'' if config.admin_listen else tls}://{config.admin_listen or at}/readyz and /metrics"
        + ("" if config.admin_listen else "   of any worker; --admin-listen gives each its own"),
        f"  workers  {workers}",
        f"  control  {paths.socket_path(supervisor.name)}   try: qcfeed {name}status",
    ]
