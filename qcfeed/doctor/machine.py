"""What the machine gives: files, memory, ports, a socket's directory that nobody else can enter."""

from __future__ import annotations

import resource
import stat
from datetime import UTC, datetime
from pathlib import Path

from qcfeed import config
from qcfeed.control import auth, paths
from qcfeed.control.directories import SUFFIX
from qcfeed.diagnose.evidence import DiagnosisThresholds
from qcfeed.doctor.check import Case, FaultError, Skip
from qcfeed.errors import UnreachableError
from qcfeed.metrics import memory
from qcfeed.model.answers import Status
from qcfeed.net import listen

LIMITS = DiagnosisThresholds()

LEAST_MEMORY = 256 * 2**20
"""Bytes that a service with its connections should have."""

FILES_ALARM = 0.9
SKEW = 2.0
"""Seconds that two clocks on one machine may differ: the answer's way is in it."""


def ports(case: Case) -> str:
    """Each port that a service here would take is free, or its own service's."""
    wanted = _ports(case.config)
    running = {each.name: each for each in paths.running_instances(case.environment)}
    told = []
    for flag, (host, port) in wanted.items():
        owner = running.get(case.config.instance or str(port))
        if port == 0:
            continue
        if owner is not None and flag == "--port":
            return f"{port} is taken by the service itself, instance {owner}"
        listen.bind(host, port, flag).close()
        told.append(str(port))
    return f"{', '.join(told)} can be taken" if told else "any free one will do"


def _ports(settings: config.Config) -> dict[str, tuple[str, int]]:
    wanted = {"--port": (settings.host, settings.port)}
    if settings.monitor:
        wanted["--monitor-port"] = ("127.0.0.1", settings.monitor_port)
        wanted["--monitor-web-port"] = ("127.0.0.1", settings.monitor_web_port)
    if settings.admin_listen:
        wanted["--admin-listen"] = listen.parse_address(settings.admin_listen, "--admin-listen")
    if settings.control_listen:
        wanted["--control-listen"] = listen.parse_address(
            settings.control_listen, "--control-listen"
        )
    return wanted


def sockets(case: Case) -> str:
    """The directory of control sockets is this user's alone, and so is each socket in it."""
    directory = paths.runtime_directory(case.environment)
    if not directory.exists():
        parent = next(each for each in directory.parents if each.exists())
        if not parent.is_dir():
            raise FaultError(
                f"{parent} is no directory", hint="set XDG_RUNTIME_DIR to one of yours"
            )
        return f"{directory} will be made at the first start"
    auth.ensure_directory(directory)
    for path in (*directory.glob(f"*{SUFFIX}"), paths.token_path(case.environment)):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise FaultError(f"{path} can be used by others", hint=f"`chmod 600 {path}`")
    running = paths.running_instances(case.environment)
    named = ", ".join(map(str, running)) or "no service runs"
    return f"{directory} is this user's alone; {named}"


def files(case: Case) -> str:
    """As many files may be open as there may be connections, and some to spare."""
    try:
        answer = case.service
    except Skip:
        return _files_here(case.config.max_connections + config.SPARE_FILES)
    needed = answer.connections_limit + config.SPARE_FILES
    process = Path("/proc") / str(answer.pid)
    try:
        limits = (process / "limits").read_text()
        opened = sum(1 for _ in (process / "fd").iterdir())
    except OSError as error:
        raise Skip(f"/proc/{answer.pid} cannot be read: {error.strerror}") from error
    [line] = [line for line in limits.splitlines() if line.startswith("Max open files")]
    soft = line.split()[3]
    allowed = 2**63 if soft == "unlimited" else int(soft)
    _enough(allowed, needed)
    if opened > FILES_ALARM * allowed:
        raise FaultError(
            f"the service has {opened:,} of {allowed:,} files open",
            hint=f"`{case.called} subscribers`; raise `ulimit -Hn` (LimitNOFILE= under systemd)",
        )
    return f"the service has {opened:,} of {allowed:,} files open, it may need {needed:,}"


def _files_here(needed: int) -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = 2**63 if hard == resource.RLIM_INFINITY else hard
    _enough(allowed, needed)
    return f"{allowed:,} may be open, a service may need {needed:,}"


def _enough(allowed: int, needed: int) -> None:
    if allowed < needed:
        raise FaultError(
            f"{allowed:,} files may be open, a service may need {needed:,}",
            hint="raise `ulimit -Hn` (LimitNOFILE= under systemd), or lower --max-connections",
        )


def ledger(case: Case) -> str:
    """The ledger sees all tasks: its check of itself holds."""
    tasks = case.program.totals
    if tasks.incomplete:
        raise FaultError(
            "; ".join(tasks.incomplete), hint=f"`{case.called} runbook QcfeedLedgerIncomplete`"
        )
    untracked = f"; {tasks.untracked:,} were created around it" if tasks.untracked else ""
    return f"{tasks.live:,} live tasks are tracked{untracked}"


def memory_limit(case: Case) -> str:
    """There is a limit that fits, and the service is not near it."""
    try:
        held = case.program.memory
    except Skip:
        bound = memory.limit()
        if bound.bytes < LEAST_MEMORY:
            raise FaultError(
                f"a service may have {bound.bytes / 2**20:,.0f} MiB ({bound.source})",
                hint=f"allow {LEAST_MEMORY // 2**20} MiB or more",
            ) from None
        return f"{bound.bytes / 2**20:,.0f} MiB for a service ({bound.source})"
    share = held.resident_bytes / max(1, held.limit_bytes)
    told = f"{share:.0%} of {held.limit_bytes / 2**20:,.0f} MiB ({held.limit_source})"
    if share >= LIMITS.memory_share:
        raise FaultError(
            f"the service holds {told}",
            hint=f"`{case.called} diagnose`; `qcfeed runbook QcfeedMemoryHigh`",
        )
    return f"the service holds {told}"


def clock(case: Case) -> str:
    """The service's clock and this one tell the same time."""
    answer = case.program
    there = datetime.fromisoformat(answer.taken_at)
    apart = (datetime.now(UTC) - there).total_seconds()
    if abs(apart) > SKEW + case.timeout:
        raise FaultError(
            f"the service's clock is {abs(apart):.0f} s {'behind' if apart > 0 else 'ahead'}",
            hint="`timedatectl` on both machines; ages and alerts cannot be trusted until then",
        )
    return f"within {abs(apart):.1f} s of the service's"


def running(case: Case) -> str:
    """A service answers, its loop turns, and it takes subscribers."""
    try:
        case.address()
    except UnreachableError as error:
        raise Skip("no service runs here", "`qcfeed serve`") from error
    answer = case.asked
    if answer.loop_stall_ms >= LIMITS.stuck_s * 1000:
        raise FaultError(
            f"the loop has been stuck for {answer.loop_stall_ms / 1000:.0f} s",
            hint=f"`{case.called} stacks`; `qcfeed runbook QcfeedLoopLag`",
        )
    if isinstance(answer, Status):
        if answer.state != "serving":
            raise FaultError(f"the service is {answer.state}", hint=f"`{case.called} status`")
        if answer.drill:
            raise FaultError(
                f"the service is broken on purpose: drill {answer.drill}",
                hint=f"`{case.called} drill stop`; `qcfeed runbook QcfeedDrillLeftOn`",
            )
    return f"instance {answer.instance}, pid {answer.pid}, its loop turns"
