"""Checks of the machine and the service: ports, sockets, open files, memory, clock, event loop."""

from __future__ import annotations

import os
import resource
import stat
from datetime import UTC, datetime
from pathlib import Path

from qcfeed import config
from qcfeed.control import auth, paths
from qcfeed.control.client import ControlClient
from qcfeed.control.directories import SUFFIX
from qcfeed.control.routes import STATUS
from qcfeed.diagnose.evidence import DiagnosisThresholds
from qcfeed.doctor.check import Case, CheckFailedError, Skip
from qcfeed.errors import QcfeedError, UnreachableError
from qcfeed.metrics import memory
from qcfeed.model.status import ServiceStatus
from qcfeed.net import listen

LIMITS = DiagnosisThresholds()

LEAST_MEMORY = 256 * 2**20
"""The least memory limit, in bytes, for a service with its connections."""

FILES_ALARM = 0.9
"""The share of open files, of those allowed, that is a problem."""

MAX_SKEW = 2.0
"""Seconds that two clocks may differ: the time that the answer takes is included."""


def ports(case: Case) -> str:
    """Each port of the configuration is free, or used by the service itself."""
    configured = _ports(case.config)
    running = {each.name: each for each in paths.running_instances(case.environment)}
    free = []
    for flag, (host, port) in configured.items():
        owner = running.get(case.config.instance or str(port))
        if port == 0:
            continue
        if owner is not None and flag == "--port" and _serves(owner, port, case.timeout):
            return f"{port} is in use by the service itself, instance {owner}"
        listen.bind(host, port, flag).close()
        free.append(str(port))
    return f"{', '.join(free)} free" if free else "any free port will be used"


def _serves(owner: paths.Instance, port: int, timeout: float) -> bool:
    """Whether the instance itself says that it serves quotes at this port: its name proves nothing."""
    client = ControlClient(paths.ControlAddress(socket=owner.socket), timeout=timeout)
    try:
        listening = client.get(STATUS, ServiceStatus).listening.websocket
    except QcfeedError:  # it does not answer, or is an attached program
        return False
    return listening.rpartition(":")[2] == str(port)


def _ports(settings: config.Config) -> dict[str, tuple[str, int]]:
    """The host and port of every flag that opens a port."""
    configured = {"--port": (settings.host, settings.port)}
    if settings.monitor:
        configured["--monitor-port"] = ("127.0.0.1", settings.monitor_port)
        configured["--monitor-web-port"] = ("127.0.0.1", settings.monitor_web_port)
    if settings.admin_listen:
        configured["--admin-listen"] = listen.parse_address(settings.admin_listen, "--admin-listen")
    if settings.control_listen:
        configured["--control-listen"] = listen.parse_address(
            settings.control_listen, "--control-listen"
        )
    return configured


def sockets(case: Case) -> str:
    """The directory of control sockets, and each socket in it, is accessible to this user only.

    The path of the socket that a service would open here is not too long, and its audit log can be written.
    """
    _check_audit_log(case)
    paths.socket_path(_instance(case), case.environment)
    directory = paths.runtime_directory(case.environment)
    if not directory.exists():
        parent = next(each for each in directory.parents if each.exists())
        if not parent.is_dir():
            raise CheckFailedError(
                f"{parent} is not a directory", hint="set XDG_RUNTIME_DIR to a directory of yours"
            )
        return f"{directory} will be created when a service starts"
    auth.ensure_directory(directory)
    for path in (*directory.glob(f"*{SUFFIX}"), paths.token_path(case.environment)):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise CheckFailedError(
                f"{path} is accessible to other users", hint=f"`chmod 600 {path}`"
            )
    running = paths.running_instances(case.environment)
    services = ", ".join(map(str, running)) or "no service is running"
    return f"{directory} is private to this user; {services}"


def _check_audit_log(case: Case) -> None:
    """Raise CheckFailedError if the audit log cannot be written: a service would not start."""
    path = Path(case.config.audit_log or paths.audit_path(_instance(case), case.environment))
    blocker = next(each for each in (path, *path.parents) if each.exists())
    kind_fits = path.is_file() if blocker == path else blocker.is_dir()
    if not kind_fits or not os.access(blocker, os.W_OK | (0 if blocker == path else os.X_OK)):
        raise CheckFailedError(
            f"the audit log {path} cannot be written: see {blocker}",
            hint=f"`ls -lad {blocker}`; --audit-log FILE or XDG_STATE_HOME names another place",
        )


def _instance(case: Case) -> str:
    """The name that a service would have that starts here."""
    return case.config.instance or str(case.config.port)


def files(case: Case) -> str:
    """The limit of open files allows the maximum number of connections, and some more."""
    try:
        answer = case.service
    except Skip:
        return _files_here(case.config.max_connections + config.SPARE_FILES)
    needed = (answer.connections_wanted or answer.connections_limit) + config.SPARE_FILES
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
        raise CheckFailedError(
            f"the service has {opened:,} of {allowed:,} files open",
            hint=f"`{case.command} subscribers`; raise `ulimit -Hn` (LimitNOFILE= under systemd)",
        )
    return f"the service has {opened:,} of {allowed:,} files open and may need {needed:,}"


def _files_here(needed: int) -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = 2**63 if hard == resource.RLIM_INFINITY else hard
    _enough(allowed, needed)
    return f"{allowed:,} open files allowed; a service may need {needed:,}"


def _enough(allowed: int, needed: int) -> None:
    if allowed < needed:
        raise CheckFailedError(
            f"only {allowed:,} open files allowed; a service may need {needed:,}",
            hint="raise `ulimit -Hn` (LimitNOFILE= under systemd), or lower --max-connections",
        )


def ledger(case: Case) -> str:
    """The ledger covers all tasks: its self-check passes."""
    tasks = case.service_or_program.totals
    if tasks.incomplete:
        raise CheckFailedError(
            "; ".join(tasks.incomplete), hint=f"`{case.command} runbook QcfeedLedgerIncomplete`"
        )
    untracked = f"; {tasks.untracked:,} untracked" if tasks.untracked else ""
    return f"{tasks.live:,} live tasks are tracked{untracked}"


def memory_limit(case: Case) -> str:
    """The memory limit is large enough, and the service is not close to it."""
    try:
        used = case.service_or_program.memory
    except Skip:
        limit = memory.limit()
        if limit.bytes < LEAST_MEMORY:
            raise CheckFailedError(
                f"the memory limit is only {limit.bytes / 2**20:,.0f} MiB ({limit.source})",
                hint=f"allow {LEAST_MEMORY // 2**20} MiB or more",
            ) from None
        return f"the memory limit is {limit.bytes / 2**20:,.0f} MiB ({limit.source})"
    share = used.resident_bytes / max(1, used.limit_bytes)
    text = f"{share:.0%} of {used.limit_bytes / 2**20:,.0f} MiB ({used.limit_source})"
    if share >= LIMITS.memory_share:
        raise CheckFailedError(
            f"the service uses {text}",
            hint=f"`{case.command} diagnose`; `qcfeed runbook QcfeedMemoryHigh`",
        )
    return f"the service uses {text}"


def clock(case: Case) -> str:
    """The clocks of the service and of this machine agree."""
    answer = case.service_or_program
    there = datetime.fromisoformat(answer.taken_at)
    difference = (datetime.now(UTC) - there).total_seconds()
    if abs(difference) > MAX_SKEW + case.timeout:
        raise CheckFailedError(
            f"the service's clock is {abs(difference):.0f} s {'behind' if difference > 0 else 'ahead'}",
            hint="`timedatectl` on both machines; ages and alerts are wrong until the clocks agree",
        )
    return f"within {abs(difference):.1f} s of the service's clock"


def running(case: Case) -> str:
    """The service answers, its event loop is not stuck, and it accepts subscribers."""
    try:
        case.address()
    except UnreachableError as error:
        raise Skip("no service is running here", "`qcfeed serve`") from error
    answer = case.answer
    if answer.loop_stall_ms >= LIMITS.stuck_s * 1000:
        raise CheckFailedError(
            f"the event loop has been stuck for {answer.loop_stall_ms / 1000:.0f} s",
            hint=f"`{case.command} stacks`; `qcfeed runbook QcfeedLoopLag`",
        )
    if isinstance(answer, ServiceStatus):
        if answer.state != "serving":
            raise CheckFailedError(
                f"the service is {answer.state}", hint=f"`{case.command} status`"
            )
        if answer.drill:
            raise CheckFailedError(
                f"drill {answer.drill} is active: a fault was injected on purpose",
                hint=f"`{case.command} drill stop`; `qcfeed runbook QcfeedDrillLeftOn`",
            )
    return f"instance {answer.instance}, pid {answer.pid}, event loop running"
