"""``qcfeed status``: the state of one service on one screen, and what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from qcfeed.cli import cluster, cluster_figures, target
from qcfeed.cli.context import Format, Output, examples, new_app, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.ui.figures import LabelledValue, show_figures, told_evidence
from qcfeed.cli.ui.formats import age, count, if_any, milliseconds, plural, size
from qcfeed.cli.ui.listing import listed
from qcfeed.control.routes import PROCESS, STATUS
from qcfeed.diagnose import certificate
from qcfeed.errors import ExitStatus, NotFoundError
from qcfeed.model import thresholds
from qcfeed.model.status import Listening, ProgramStatus, ServiceStatus, TlsListening
from qcfeed.model.tasks import TaskTotals

app = new_app()

Finding = tuple[str, tuple[str, ...]]
"""What is wrong, and what to type next, step by step: sentences with one command each."""


def status(ctx: typer.Context, source: From = None, output: Output = Format.TABLE) -> None:
    """Show the state of a service on one screen.

    For programs that use `qcfeed.attach()`, the figures of feeds are omitted. Of `serve --workers`,
    it shows one row per process.

    Each finding is printed on stderr with the command to type next. Findings are: orphans, an
    incomplete ledger, an active drill, dead symbols, an upstream that is down, memory at 85 % of
    its limit or more, and a stuck event loop.

    Exit status: 1 with findings, 0 without.
    """
    if cluster.is_asked(ctx, **{"from": source}):
        from qcfeed.cli.cluster import views

        views.status(ctx, output)
        return
    try:
        answer, raw = ask_or_read(ctx, STATUS, ServiceStatus, source=source)
    except NotFoundError:
        if source or not _show_group(ctx, output):
            _show_program(ctx, source, output)
        return
    show_figures(output, _service_figures(answer), raw=raw, names=[answer.instance])
    report(findings(answer))


def _show_group(ctx: typer.Context, output: Format) -> bool:
    """Show the processes of `serve --workers`; False if it is another program."""
    from qcfeed.cli import workers

    if (group := workers.group_of(ctx)) is None:
        return False
    answer, raw = group
    workers.show_workers(answer, raw, output)
    report(
        [
            *workers.problems(answer),
            *(
                (f"{worker.name}: {what}", _of_instance(worker.name, suggestions))
                for worker in answer.workers
                if worker.status is not None
                for what, suggestions in findings(worker.status)
            ),
        ]
    )
    return True


def _of_instance(name: str, suggestions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(target.of_instance(text, name) for text in suggestions)


app.command(
    epilog=examples(
        "qcfeed status",
        "qcfeed status --watch",
        "qcfeed --instance 8006 status --jq .totals.live",
    )
)(listed(status))


def _show_program(ctx: typer.Context, source: Path | None, output: Format) -> None:
    answer, raw = ask_or_read(ctx, PROCESS, ProgramStatus, source=source)
    show_figures(output, _program_figures(answer), raw=raw, names=[answer.instance])
    report(_common_findings(answer, answer.totals.orphaned, 0))


def report(found: Iterable[Finding]) -> None:
    """Print findings on stderr. Raises typer.Exit if there are any."""
    any_found = False
    for what, suggestions in found:
        any_found = True
        say(f"finding: {what}")
        if suggested := [text for text in map(target.in_text, suggestions) if text]:
            say(f"  next: {', then '.join(suggested)}")
    if any_found:
        raise typer.Exit(ExitStatus.FINDINGS)


def findings(status: ServiceStatus) -> Iterator[Finding]:
    """What is wrong according to the status, each with the commands to type next."""
    yield from _common_findings(status, status.orphaned_tasks, status.orphaned_subscriptions)
    if status.staleness.dead:
        yield f"{plural(status.staleness.dead, 'symbol')} dead: no quotes", ("`qcfeed feeds`",)
    if not status.upstream_connected and status.subscriptions:
        yield (
            f"upstream {status.upstream} is down while subscribers wait",
            ("`qcfeed feeds -o wide`",),
        )
    if status.cluster is not None:
        yield from cluster_figures.findings(status.cluster)
    for problem in status.access_problems:
        yield (
            f"the subscribers' keys are not read again: {problem}",
            ("`qcfeed runbook QcfeedAuthenticationFails`",),
        )
    if status.listening.tls is not None:
        for problem, remedy in certificate.problems(status.listening.tls, time.time()):
            yield problem, (remedy,)
    if status.drill:
        yield (
            f"drill {status.drill} is active: a fault was injected on purpose",
            ("`qcfeed drill stop` ends it",),
        )


def _common_findings(
    status: ServiceStatus | ProgramStatus, tasks: int, subscriptions: int
) -> Iterator[Finding]:
    for reason in status.totals.incomplete:
        yield reason, ("`qcfeed runbook QcfeedLedgerIncomplete`",)
    if tasks or subscriptions:
        yield (
            f"{plural(tasks, 'orphaned task')}, {plural(subscriptions, 'orphaned subscription')}",
            ("`qcfeed orphans`", "`qcfeed orphans --reap`"),
        )
    if status.loop_stall_ms >= thresholds.LOOP_STUCK_S * 1_000:
        yield (
            f"the loop has been stuck for {milliseconds(status.loop_stall_ms)}",
            ("`qcfeed stacks` shows where; it works while the loop is stuck",),
        )
    if (share := _memory_share(status)) >= thresholds.MEMORY_SHARE:
        yield (
            f"memory is at {share:.0%} of its limit",
            ("`qcfeed tasks --by-location`", "`qcfeed memory`"),
        )


def _memory_share(status: ServiceStatus | ProgramStatus) -> float:
    return status.memory.resident_bytes / max(1, status.memory.limit_bytes)


def _service_figures(status: ServiceStatus) -> list[LabelledValue]:
    own_side = [] if status.cluster is None else cluster_figures.figures(status.cluster)
    return [
        *_service(status),
        *_tasks(status),
        *_feeds(status),
        *own_side,
        *_evidence(status),
        *_listening(status.listening),
    ]


def _program_figures(program: ProgramStatus) -> list[LabelledValue]:
    orphaned = program.totals.orphaned
    return [
        LabelledValue("program", f"{program.instance}, pid {program.pid}, Python {program.python}"),
        LabelledValue("attached", f"{age(program.attached_s)}, since {program.attached_at}"),
        *_process(program),
        _task_counts(program.totals),
        LabelledValue("orphans", plural(orphaned, "task"), "red" if orphaned else None),
    ]


def _service(status: ServiceStatus) -> Iterator[LabelledValue]:
    if status.drill:
        yield LabelledValue(
            "DRILL", f"{status.drill}: FAULT INJECTED ON PURPOSE, NOT PRODUCTION", "red"
        )
    yield LabelledValue(
        "service", f"{status.instance}, pid {status.pid}, qcfeed {status.version}, {status.state}"
    )
    yield LabelledValue("up", f"{age(status.uptime_s)}, since {status.started_at}")
    yield from _process(status)


def _process(status: ServiceStatus | ProgramStatus) -> Iterator[LabelledValue]:
    memory, share = status.memory, _memory_share(status)
    yield LabelledValue(
        "memory",
        f"{size(memory.resident_bytes)} of {size(memory.limit_bytes)}, {share:.0%}"
        f" ({memory.limit_source})",
        "red" if share >= thresholds.MEMORY_SHARE else None,
    )
    stuck = status.loop_stall_ms >= thresholds.LOOP_STUCK_S * 1_000
    late = status.loop_lag_ms >= thresholds.LOOP_STUCK_S * 1_000
    lag = f"{milliseconds(status.loop_lag_ms)}"
    yield LabelledValue(
        "loop lag",
        f"STUCK for {milliseconds(status.loop_stall_ms)}" if stuck else lag,
        "red" if stuck or late else None,
    )


def _tasks(status: ServiceStatus) -> Iterator[LabelledValue]:
    yield _task_counts(status.totals)
    orphans = status.orphaned_tasks, status.orphaned_subscriptions
    yield LabelledValue(
        "orphans",
        f"{plural(orphans[0], 'task')}, {plural(orphans[1], 'subscription')}",
        "red" if any(orphans) else None,
    )


def _task_counts(totals: TaskTotals) -> LabelledValue:
    untracked = f"; {count(totals.untracked)} untracked" if totals.untracked else ""
    return LabelledValue(
        "tasks",
        f"{count(totals.live)} live; {count(totals.spawned)} spawned,"
        f" {count(totals.finished)} finished, {count(totals.cancelled)} cancelled,"
        f" {count(totals.failed)} failed{untracked}",
    )


def _lowered(status: ServiceStatus) -> str:
    wanted = status.connections_wanted
    if wanted is None or wanted <= status.connections_limit:
        return ""
    return f", not {count(wanted)}: too few open files are allowed"


def _feeds(status: ServiceStatus) -> Iterator[LabelledValue]:
    states = ", ".join(f"{count(n)} {state}" for state, n in status.feeds_by_state.items() if n)
    yield LabelledValue(
        "feeds", f"{count(status.feed_count)}: {states}" if states else count(status.feed_count)
    )
    yield LabelledValue(
        "subscriptions",
        f"{count(status.subscriptions)}, {status.subscribers_per_symbol:.1f} per symbol;"
        f" {plural(status.connections, 'connection')} of at most {count(status.connections_limit)}"
        f"{_lowered(status)}",
    )
    for label, counts in (
        ("closed", status.closed),
        ("refused", status.refused),
        ("http ended", status.http_ended),
    ):
        if text := ", ".join(f"{count(n)} ({why})" for why, n in sorted(counts.items()) if n):
            yield LabelledValue(label, text)
    bands = status.staleness
    yield LabelledValue(
        "staleness",
        f"{count(bands.live)} live, {if_any(bands.no_quote, 'waiting')}{count(bands.stale)} stale,"
        f" {count(bands.very_stale)} very stale, {count(bands.dead)} dead",
        "red" if bands.dead else "yellow" if bands.stale or bands.very_stale else None,
    )
    connected = "connected" if status.upstream_connected else "DOWN"
    bad = status.upstream_invalid_messages
    invalid = f", {plural(bad, 'invalid message')}" if bad else ""
    yield LabelledValue(
        "upstream",
        f"{status.upstream}, {connected}; {plural(status.upstream_reconnects, 'reconnect')},"
        f" {plural(status.upstream_gaps, 'gap')}{invalid}",
    )


def _evidence(status: ServiceStatus) -> Iterator[LabelledValue]:
    if status.saved_evidence is not None:
        yield LabelledValue("evidence", told_evidence(status.saved_evidence))


def _certificate(tls: TlsListening | None) -> str | None:
    if tls is None:
        return None
    clients = "; clients need one too" if tls.client_certificates else ""
    return f"{', '.join(tls.names)}; expires {tls.not_after}{clients}"


def _listening(listening: Listening) -> Iterator[LabelledValue]:
    addresses = (
        ("quotes", listening.quotes_url if listening.tls else listening.websocket),
        ("certificate", _certificate(listening.tls)),
        ("admin", listening.admin),
        ("page", listening.page),
        ("control", listening.control),
        ("control over TCP", listening.control_tcp),
        ("monitor (telnet)", listening.monitor),
        ("monitor (web)", listening.monitor_web),
        ("monitor", listening.monitor_off and f"off: {listening.monitor_off}"),
    )
    for label, address in addresses:
        if address:
            yield LabelledValue(label, address)
