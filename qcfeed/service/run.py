"""``qcfeed serve``: runs one service in one process, until the ledger's final balance."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import time
from collections.abc import Callable
from functools import partial

from qcfeed import __version__
from qcfeed.config import Config, FeederConfig, NatsConfig
from qcfeed.control.recent_log import RecentLog
from qcfeed.diagnostics import orphans, reaper, snapshot
from qcfeed.diagnostics.code_origin import declare_application
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.long_lists import drained
from qcfeed.doctor import exposure
from qcfeed.errors import ExitStatus
from qcfeed.formats import printable_lines
from qcfeed.log_limit import RepeatLimit
from qcfeed.net import descriptors
from qcfeed.net.event_loop import new_event_loop
from qcfeed.service.app import Service
from qcfeed.service.log_format import JsonLogFormatter, formatter
from qcfeed.service.systemd import Notifier
from qcfeed.streams import write_message
from qcfeed.supervised import is_successor, is_supervised

log = logging.getLogger("qcfeed")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PARTS_CANCELLED = 5
"""Parts of the service that are cancelled, one after another, once the drain timeout has passed."""
_LAST_SECOND = 1.0
"""Seconds that each of them has to end."""


def serve(config: Config, nats: NatsConfig, feeder: FeederConfig | None = None) -> int:
    """Run the service until a signal; returns the exit status. Raises StartError or ConfigError.

    With ``feeder`` it publishes on NATS instead of serving subscribers.
    """
    recent, repeats = start_logging(config.log_format)
    _raise_file_limit()
    declare_application(__file__)
    through = [name.strip() for name in config.spawn_through.split(",") if name.strip()]
    ledger = Ledger(spawn_stacks=config.spawn_stacks, through=through)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        # Before the first task of the loop, so that none is untracked.
        ledger.install(runner.get_loop())
        make = partial(
            Service,
            config,
            ledger,
            recent,
            tell_repeats=repeats.flush,
            nats=nats,
            feeder=feeder,
        )
        status = runner.run(_main(make, config, ledger))
        if status is ExitStatus.TIMED_OUT:
            # Closing the runner would wait for every task, and one of them refuses to end.
            os._exit(report_ledger(ledger, status))
    return report_ledger(ledger, status)


def start_logging(form: str) -> tuple[RecentLog, RepeatLimit]:
    """Log to stderr; returns the last lines, kept for reports, and the filter of repeated lines."""
    output = logging.StreamHandler()
    output.setFormatter(formatter(form))
    recent = RecentLog()
    repeats = RepeatLimit()
    for handler in output, recent:
        handler.addFilter(repeats)
    logging.basicConfig(level=logging.INFO, handlers=[output, recent], force=True)
    logging.getLogger("aiomonitor").setLevel(logging.WARNING)  # our own lines name its ports
    return recent, repeats


async def _main(make: Callable[[], Service], config: Config, ledger: Ledger) -> ExitStatus:
    service = make()
    if is_successor():
        await service.stand_by()
        Notifier().standing_by()
    await service.start()
    stopping = asyncio.Event()
    # Only now: until here, Ctrl-C cancels the start, which unwinds what has started.
    install_signal_handlers(stopping)
    if service.feeder is None:
        _warn_of_few_files(service)
        if not is_supervised():
            warn_if_exposed(config)
    if service.tls is not None:
        # Otherwise SIGHUP drains the service, as SIGTERM does.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, service.tls.request_reload)
    if not is_supervised():
        say(*_greeting(service))
    with contextlib.closing(Notifier()) as manager:
        manager.ready(f"{_purpose(service)} on {service.listening.websocket}")
        await stopping.wait()
        manager.stopping(f"draining: at most {config.drain_timeout:g} s")
        return await _shut_down(service, config, ledger)


def warn_if_exposed(config: Config) -> None:
    """Log what the service lacks if other machines can reach it."""
    for gap in exposure.gaps(config):
        log.warning("exposed on %s: %s (%s)", config.host, gap.problem, gap.remedy)


async def _shut_down(service: Service, config: Config, ledger: Ledger) -> ExitStatus:
    if not is_supervised():
        say(f"draining: at most {config.drain_timeout:g} s; press Ctrl-C again to exit at once")
    if not await _stop(service, config.drain_timeout):
        return ExitStatus.TIMED_OUT
    await _reap(ledger)
    await ledger.check.probe()  # a drill may have disabled recording until now
    return ExitStatus.OK


async def _stop(service: Service, drain_timeout: float) -> bool:
    """Stop the service; False if that took longer than ``drain_timeout``, in seconds."""
    stopping = asyncio.get_running_loop().create_task(service.stop(), name="drain")
    await asyncio.wait([stopping], timeout=drain_timeout)
    if stopping.done():
        stopping.result()
        return True
    log.warning("the drain took longer than %g s", drain_timeout)
    # The parts stop one after another, and several of them may wait for one task that ignores its
    # cancellation. So each gets a second more; whatever is left then ends with the process.
    for _ in range(_PARTS_CANCELLED):
        stopping.cancel()
        await asyncio.wait([stopping], timeout=_LAST_SECOND)
        if stopping.done():
            break
    if stopping.done() and not stopping.cancelled() and (error := stopping.exception()):
        log.error("a part of the service failed to stop", exc_info=error)
    return False


def _raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard limit: each connection needs a file descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _warn_of_few_files(service: Service) -> None:
    holds = service.gateway.capacity.connections
    if holds < service.config.max_connections:
        log.warning(
            "at most %d connections, not %d: only %d open files are allowed; raise `ulimit -Hn`"
            " (LimitNOFILE= under systemd)",
            holds,
            service.config.max_connections,
            descriptors.limit(),
        )


def install_signal_handlers(stopping: asyncio.Event) -> None:
    """The first signal starts the drain, the second one exits immediately.

    SIGHUP, which a closed terminal sends, counts too, unless nohup has it ignored.
    """
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stopping.is_set():
            say("exiting at once, without joining tasks")
            os._exit(128 + number)
        stopping.set()

    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    for each in (*SIGNALS, *hangup):
        loop.add_signal_handler(each, on_signal, each)


async def _reap(ledger: Ledger) -> None:
    """Cancel tasks that outlived the drain: they are orphans now. Only a drill should leave any."""
    left = orphans.refs(ledger, time.monotonic())
    if left:
        log.warning("%d tasks outlived the service, cancelling them", len(left))
        await reaper.cancel(drained(left))


def report_ledger(ledger: Ledger, status: ExitStatus) -> int:
    """Print the ledger's balance of all tasks; returns the exit status.

    Tasks that are still live, and an incomplete ledger, are findings.
    """
    counted = snapshot.by_location(ledger, time.monotonic())
    totals = counted.totals
    say(
        f"ledger: {totals.spawned:,} tasks spawned = {totals.finished:,} finished"
        f" + {totals.cancelled:,} cancelled + {totals.failed:,} failed; {totals.live:,} live"
    )
    for reason in totals.incomplete:
        say(f"  INCOMPLETE: {reason}")
    if not totals.live and not totals.incomplete:
        return status
    for row in counted.rows:
        if row.live:
            say(f"  {row.live:,} still live from {row.location}")
    return status or ExitStatus.FINDINGS


def _greeting(service: Service) -> list[str]:
    at, config = service.listening, service.config
    name = (
        ""
        if service.control.instance == at.websocket.rpartition(":")[2]
        else f"--instance {service.control.instance} "
    )
    who = f"pid {os.getpid()}, instance {service.control.instance}"
    lines = [
        f"qcfeed {__version__} {_purpose(service)} ({who})",
        _quotes_line(service),
        *_access_lines(config),
        f"  health   {at.admin_url}/readyz and /metrics{_shared_port_note(config)}",
        *_page_lines(service),
        f"  control  {at.control}   try: qcfeed {name}status",
    ]
    if at.tls is not None:
        lines.insert(2, f"  TLS      for {', '.join(at.tls.names)}, valid until {at.tls.not_after}")
    if at.control_tcp is not None:
        lines.append(f"           http://{at.control_tcp} with a bearer token")
    if at.monitor is not None:
        lines.append(f"  monitor  telnet {at.monitor.replace(':', ' ')}   {at.monitor_web}")
    elif at.monitor_off is not None:
        lines.append(f"  monitor  off: {at.monitor_off}")
    if (drill := service.drills.running()) is not None:
        lines.append(f"  DRILL    {drill} is active: a fault was injected on purpose")
    elif config.allow_drills:
        lines.append("  DRILLS   allowed   try: qcfeed drill list")
    return lines


def _purpose(service: Service) -> str:
    return f"{'serves' if service.feeder is None else 'feeds'} {service.hub.upstream.name}"


def _quotes_line(service: Service) -> str:
    if (feeder := service.feeder) is not None:
        return f"  quotes   on {feeder.servers}, share {feeder.share}, to `qcfeed serve --upstream nats://...`"
    at = service.listening.quotes_url
    hint = "" if service.config.authenticates else "   try: qcfeed watch AAPL"
    return f"  quotes   {at}/quotes/AAPL and /stream{hint}"


def _access_lines(config: Config) -> list[str]:
    """How clients must authenticate; no lines if they need not."""
    ways = [f"API keys of {config.keys}"] if config.keys else []
    ways += ["JSON Web Tokens"] if config.jwt_key or config.jwt_jwks else []
    if not ways:
        return []
    return [f"  access   with {' or '.join(ways)}   try: qcfeed watch AAPL --token-file FILE"]


def _page_lines(service: Service) -> list[str]:
    """Where the status page is, if it is on."""
    if (page := service.listening.page) is None:
        return []
    file = service.config.page_token_file
    return [f"  page     {page}{f'   with the token in {file}' if file else ''}"]


def _shared_port_note(config: Config) -> str:
    """A note for shared ports, where the kernel chooses the instance that answers."""
    if config.reuse_port and not config.admin_listen:
        return "   of any instance; use --admin-listen for this one"
    return ""


def say(*lines: str) -> None:
    """Write lines for the person who starts the service to stderr; as one log line if the log is JSON."""
    if isinstance(logging.getLogger().handlers[0].formatter, JsonLogFormatter):
        log.info("\n".join(lines))
    else:
        write_message("".join(f"{printable_lines(line)}\n" for line in lines))
