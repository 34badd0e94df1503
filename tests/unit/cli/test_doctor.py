"""Every check of `qcfeed doctor`, with nothing wrong, and with its own fault planted."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from qcfeed import __version__
from qcfeed.cli.doctor import CHECKS
from qcfeed.config import loading
from qcfeed.control import paths
from qcfeed.control.routes import PROCESS, STATUS, NoQuery, ReadRoute
from qcfeed.errors import ExitStatus
from qcfeed.metrics import memory
from qcfeed.model.status import Bands, Listening, Memory, ProgramStatus, ServiceStatus, TlsListening
from qcfeed.model.tasks import TaskTotals

from .conftest import Left, Watched

Command = Callable[..., Left]
MIB = 2**20


@pytest.fixture(autouse=True)
def _free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """No service of this machine is in the way."""
    monkeypatch.setenv("QCFEED_PORT", "0")


def status(**differently: Any) -> ServiceStatus:
    fields: dict[str, Any] = {
        "version": __version__, "state": "serving", "drill": None, "started_at": "",
        "uptime_s": 1.0, "loop_lag_ms": 0.1,
        "memory": Memory(resident_bytes=50 * MIB, limit_bytes=1000 * MIB, limit_source="machine"),
        "listening": Listening(websocket="127.0.0.1:1", admin="127.0.0.1:1", control=""),
        "upstream": "sim:", "upstream_connected": True, "upstream_reconnects": 0,
        "upstream_gaps": 0, "connections": 0, "connections_limit": 100, "feed_count": 0,
        "feeds_by_state": {}, "subscriptions": 0, "subscribers_per_symbol": 0.0,
        "orphaned_tasks": 0, "orphaned_subscriptions": 0, "staleness": Bands(),
        "totals": TaskTotals(),
    }  # fmt: skip
    return ServiceStatus(**fields | differently)


def check(left: Left, name: str) -> dict[str, str]:
    [found] = [each for each in json.loads(left.out)["checks"] if each["check"] == name]
    return dict(found)


@pytest.fixture
def doctor(qcfeed_: Command, watched: Watched) -> Callable[..., Any]:
    """Ask about a service whose status is ``answer``; what the check of that name says."""

    async def ask(name: str, answer: ServiceStatus | ProgramStatus) -> dict[str, str]:
        path = STATUS if isinstance(answer, ServiceStatus) else PROCESS
        watched.serve("asked", routes=[ReadRoute(path, NoQuery, lambda _: answer)])
        left = await asyncio.to_thread(qcfeed_, "doctor", "-o", "json")
        found = check(left, name)
        assert (left.status == ExitStatus.FINDINGS) == ('"failed"' in left.out.partition("]")[0])
        return found

    return ask


def test_without_a_service_its_checks_are_skipped(qcfeed_: Command) -> None:
    left = qcfeed_("doctor", "-o", "json")
    answer = json.loads(left.out)
    assert left.status == ExitStatus.OK, left.out
    assert answer["schema"] == "qcfeed.doctor/1"
    outcomes = {each["check"]: each["outcome"] for each in answer["checks"]}
    assert list(outcomes) == [*(name for name, _ in CHECKS), "exposure"]
    assert {name for name, outcome in outcomes.items() if outcome == "skipped"} == {
        "service", "ledger", "clock", "prometheus", "scraped", "rules", "prometheus clock",
    }  # fmt: skip
    assert check(left, "service") == {
        "check": "service", "outcome": "skipped", "detail": "no service is running here",
        "next": "`qcfeed serve`",
    }  # fmt: skip
    assert "7 skipped, 10 passed" in left.err


@pytest.mark.parametrize(
    "name", [name for name, check in CHECKS if check.__module__ != "qcfeed.doctor.prometheus"]
)
async def test_a_sound_service_passes_every_check(doctor: Callable[..., Any], name: str) -> None:
    assert (await doctor(name, status()))["outcome"] == "passed"


@pytest.mark.parametrize(
    ("days", "problem", "said"),
    [
        (90, None, "for quotes.example, valid until"),
        (6, None, "the certificate expires in"),
        (-1, None, "the certificate has expired"),
        (90, "the key does not belong to it", "new certificate files are not in use: the key"),
    ],
)
async def test_the_certificate_in_use_is_judged(
    doctor: Callable[..., Any], days: int, problem: str | None, said: str
) -> None:
    end = datetime.now(UTC) + timedelta(days=days)
    tls = TlsListening(
        names=["quotes.example"], not_after=end.strftime("%Y-%m-%dT%H:%M:%SZ"), sha256="00", certificate="",
        client_certificates=False, problem=problem,
    )  # fmt: skip
    listening = Listening(websocket="127.0.0.1:1", admin="127.0.0.1:1", control="", tls=tls)
    found = await doctor("certificate", status(listening=listening))
    assert found["detail"].startswith(said)
    assert found["outcome"] == ("passed" if said.startswith("for") else "failed")


async def test_uvloop_with_aiomonitor_fails_for_an_attached_program_only(
    doctor: Callable[..., Any], qcfeed_: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.doctor.installation.PYTHON", (3, 13, 0))
    without = check(await asyncio.to_thread(qcfeed_, "doctor", "-o", "json"), "versions")
    assert without["outcome"] == "passed"
    assert "(but a program on uvloop that starts aiomonitor" in without["detail"]
    said = await doctor("versions", attached())
    assert said["outcome"] == "failed"
    assert said["next"] == "start it with hook_task_factory=False, as qcfeed does"


def attached() -> ProgramStatus:
    return ProgramStatus(
        python="3.11", attached_at="", attached_s=1.0, loop_lag_ms=0.1,
        memory=Memory(resident_bytes=MIB, limit_bytes=100 * MIB, limit_source="cgroup v2"),
        totals=TaskTotals(),
    )  # fmt: skip


async def test_an_attached_program_is_checked_too(doctor: Callable[..., Any]) -> None:
    said = await doctor("memory", attached())
    assert (said["outcome"], said["detail"]) == (
        "passed", "the service uses 1% of 100 MiB (cgroup v2)",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "differently", "detail", "next_command"),
    [
        ("versions", {"version": "0.0.1"}, "the service runs qcfeed 0.0.1", "restart the service"),
        (
            "ledger",
            {
                "totals": TaskTotals(
                    live=2, untracked=40, incomplete=["cannot see 40 of 42 tasks: x"]
                )
            },
            "cannot see 40 of 42 tasks: x",
            "`qcfeed runbook QcfeedLedgerIncomplete`",
        ),
        ("service", {"state": "draining"}, "the service is draining", "qcfeed status"),
        ("service", {"drill": "zombie-feeds"}, "drill zombie-feeds", "drill stop"),
        ("files", {"connections_limit": 10**9}, "a service may need 1,000,000,200", "ulimit -Hn"),
        (
            "memory",
            {"memory": Memory(resident_bytes=86, limit_bytes=100, limit_source="cgroup v2")},
            "the service uses 86% of 0 MiB (cgroup v2)",
            "`qcfeed diagnose`",
        ),
    ],
)
async def test_a_fault_of_the_service(
    doctor: Callable[..., Any],
    name: str,
    differently: dict[str, Any],
    detail: str,
    next_command: str,
) -> None:
    said = await doctor(name, status(**differently))
    assert said["outcome"] == "failed"
    assert detail in said["detail"]
    assert next_command in said["next"]


async def test_a_service_with_its_files_used_up(
    doctor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own files, and a limit of which they are too many."""
    opened = len(list(Path("/proc/self/fd").iterdir()))  # noqa: ASYNC240
    monkeypatch.setattr("qcfeed.doctor.machine.FILES_ALARM", opened / 2 / _allowed())
    said = await doctor("files", status())
    assert said["outcome"] == "failed"
    assert "files open" in said["detail"]


def _allowed() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


async def test_clock_skew_fails_the_check(
    doctor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.rfc3339.now", lambda: "2020-01-01T00:00:00Z")
    said = await doctor("clock", status())
    assert said["outcome"] == "failed"
    assert "s behind" in said["detail"]
    assert "timedatectl" in said["next"]


async def test_a_loop_that_is_stuck(qcfeed_: Command, watched: Watched) -> None:
    watched.serve("stuck", routes=[ReadRoute(STATUS, NoQuery, lambda _: status())])
    time.sleep(1.2)  # noqa: ASYNC251 - that is the fault; and the command runs in this thread too
    said = check(qcfeed_("doctor", "-o", "json"), "service")
    assert said["outcome"] == "failed"
    assert re.search(r"the event loop has been stuck for \d+ s", said["detail"])
    assert said["next"] == "`qcfeed stacks`; `qcfeed runbook QcfeedLoopLag`"


def test_a_named_service_that_does_not_run_fails_the_check(qcfeed_: Command) -> None:
    said = check(qcfeed_("--instance", "gone", "doctor", "-o", "json"), "service")
    assert said["outcome"] == "failed"
    assert "cannot reach the service" in said["detail"]


def test_an_invalid_configuration_fails_the_check(qcfeed_: Command) -> None:
    path = loading.file_in_use(None)
    path.parent.mkdir(parents=True)
    path.write_text("prot = 1\n")
    left = qcfeed_("doctor", "-o", "json")
    assert left.status == ExitStatus.FINDINGS
    said = check(left, "configuration")
    assert said["outcome"] == "failed"
    assert "'prot', which is not an option" in said["detail"]
    assert check(left, "ports") == {
        "check": "ports", "outcome": "skipped", "detail": "the configuration is invalid",
        "next": "`qcfeed config check`",
    }  # fmt: skip


@pytest.mark.parametrize("variable", ["QCFEED_PORT", "QCFEED_MONITOR_PORT", "QCFEED_ADMIN_LISTEN"])
def test_a_port_that_another_program_has(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", 0))
        rival.listen()
        port = rival.getsockname()[1]
        where = f"127.0.0.1:{port}" if variable.endswith("LISTEN") else str(port)
        monkeypatch.setenv(variable, where)
        said = check(qcfeed_("doctor", "-o", "json"), "ports")
    assert said["outcome"] == "failed"
    assert f"port {port} on 127.0.0.1 is in use" in said["detail"]
    assert "ss -ltnp" in said["next"]


def test_a_low_file_limit_fails_the_check(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCFEED_MAX_CONNECTIONS", str(10**9))
    said = check(qcfeed_("doctor", "-o", "json"), "files")
    assert said["outcome"] == "failed"
    assert "--max-connections" in said["next"]


def test_little_memory_fails_the_check(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "memory.max").write_text(f"{100 * MIB}\n")
    (tmp_path / "cgroup").write_text("0::/\n")
    limited = memory.find_limit(tmp_path / "cgroup", tmp_path, 64 * 2**30)
    monkeypatch.setattr(memory, "limit", lambda: limited)
    said = check(qcfeed_("doctor", "-o", "json"), "memory")
    assert said["outcome"] == "failed"
    assert "100 MiB (cgroup v2)" in said["detail"]


def test_a_socket_accessible_to_others_fails_the_check(qcfeed_: Command) -> None:
    directory = paths.runtime_directory()
    directory.mkdir(parents=True, mode=0o700)
    token = paths.token_path()
    token.write_text("x")
    token.chmod(0o644)
    said = check(qcfeed_("doctor", "-o", "json"), "sockets")
    assert said["detail"] == f"{token} is accessible to other users"
    assert said["next"] == f"`chmod 600 {token}`"
    directory.chmod(0o755)
    said = check(qcfeed_("doctor", "-o", "json"), "sockets")
    assert said["outcome"] == "failed"
    assert "is open to other users (mode 0755)" in said["detail"]


def test_a_person_reads_a_table(qcfeed_: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QCFEED_MAX_CONNECTIONS", str(10**9))
    left = qcfeed_("doctor")
    assert left.out.splitlines()[0].split() == ["CHECK", "OUTCOME", "DETAIL", "NEXT"]
    [row] = [line for line in left.out.splitlines() if line.startswith("files")]
    assert row.split()[1] == "FAILED"
    assert left.status == ExitStatus.FINDINGS


def test_a_foreign_process_at_the_port_is_not_called_the_service(
    qcfeed_: Command, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = str(foreign.getsockname()[1])
        watched.serve(instance=port)  # a program of that name, which does not serve at that port
        monkeypatch.setenv("QCFEED_PORT", port)
        left = qcfeed_("doctor", "-o", "json")
    assert check(left, "ports")["outcome"] == "failed", left.out


def test_a_socket_path_that_is_too_long_fails(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("x" * 90)))
    found = check(qcfeed_("doctor", "-o", "json"), "sockets")
    assert found["outcome"] == "failed"
    assert "107" in found["detail"]


def test_an_audit_log_that_cannot_be_written_fails(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    found = check(qcfeed_("doctor", "-o", "json"), "sockets")
    assert found["outcome"] == "failed"
    assert "audit log" in found["detail"]
