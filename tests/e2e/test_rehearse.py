"""A game day, from the command to the last process ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from qcfeed.errors import ExitStatus
from tests.support.nats_server import needs_nats
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import needs_prometheus
from tests.support.shell import QCFEED, environment, qcfeed

LONG = 5 * PATIENCE


def hold(
    home: Path, *args: str, path: Path | None = None, **variables: str
) -> subprocess.Popen[str]:
    """``path``: where programs are looked for; without Prometheus there nothing is waited for."""
    here = environment(home) | variables
    if path is not None:
        here["PATH"] = str(path)
    return subprocess.Popen(
        [QCFEED, "drill", "rehearse", *args],
        env=here | {"TMPDIR": str(home), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def nothing_is_left(home: Path) -> None:
    assert not list(home.glob("qcfeed-rehearsal-*"))
    assert [
        each.pid
        for each in psutil.process_iter(["cmdline", "environ"])
        if (each.info["environ"] or {}).get("XDG_RUNTIME_DIR") == str(home)
    ] == []


@needs_prometheus
def test_a_rehearsal_injects_the_fault_follows_the_runbook_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    day = hold(tmp_path, "zombie-feeds=200", "--yes")
    out, talk = day.communicate(timeout=LONG)
    assert day.returncode == ExitStatus.OK, talk
    assert "QcfeedOrphanedTasks (warning)" in talk
    assert "$ qcfeed orphans --reap\ncancelled          200 tasks" in talk
    assert "VERIFIED" in talk
    for what in (
        "everything started",
        "QcfeedOrphanedTasks fired",
        "orphans.reap, by ",
        "ran the Mitigation of QcfeedOrphanedTasks",
        "the runbooks' Verification holds",
        "QcfeedOrphanedTasks resolved",
    ):
        assert what in out
    nothing_is_left(tmp_path)


@needs_nats
@pytest.mark.parametrize("drill", ["former-owner", "missed-renewals", "second-owner"])
def test_a_drill_of_a_cluster_is_rehearsed_in_one_of_its_own(tmp_path: Path, drill: str) -> None:
    day = hold(tmp_path, drill, "--yes", path=tmp_path)
    _, talk = day.communicate(timeout=LONG)
    assert day.returncode == ExitStatus.OK, talk
    assert f"$ qcfeed drill stop\nended  {drill}" in talk
    nothing_is_left(tmp_path)


def test_a_fault_that_is_not_mitigated_in_time_is_reported(tmp_path: Path) -> None:
    day = hold(tmp_path, "lost-readers", "--within", "100ms", path=tmp_path)
    out, talk = day.communicate(timeout=LONG)
    assert day.returncode == ExitStatus.TIMED_OUT, talk
    assert "without Prometheus and Alertmanager, not installed here" in talk
    assert "feeds run without subscribers" in talk
    assert "export QCFEED_INSTANCE=rehearsal" in talk
    assert "not resolved within 0.1 s: qcfeed orphans" in talk
    assert "everything started" in out
    nothing_is_left(tmp_path)


@needs_prometheus
def test_a_trainee_mitigates_the_fault_in_a_second_terminal(tmp_path: Path) -> None:
    day = hold(tmp_path, "lost-readers")
    assert day.stderr is not None
    while "The clock is running" not in (line := day.stderr.readline()):
        assert line, "it ended too early"
    left = qcfeed(tmp_path, "orphans", "--reap", QCFEED_INSTANCE="rehearsal")
    assert left.returncode == ExitStatus.OK, left.stderr
    out, talk = day.communicate(timeout=LONG)
    assert day.returncode == ExitStatus.OK, talk
    assert "orphans.reap, by " in out
    assert "QcfeedOrphanedSubscriptions resolved" in out
    nothing_is_left(tmp_path)


def test_a_restart_is_a_mitigation_too(tmp_path: Path) -> None:
    foreign = {"QCFEED_CONTEXT": "prod", "QCFEED_PORT": "1", "COLUMNS": "40"}
    day = hold(tmp_path, "lost-readers", path=tmp_path, **foreign)
    assert day.stderr is not None
    while "The clock is running" not in (line := day.stderr.readline()):
        assert line, "it ended too early"
    status = json.loads(
        qcfeed(tmp_path, "status", "-o", "json", QCFEED_INSTANCE="rehearsal").stdout
    )
    os.kill(status["pid"], signal.SIGKILL)
    out, talk = day.communicate(timeout=LONG)
    assert day.returncode == ExitStatus.OK, talk
    assert "the service exited (-9) and was restarted, as systemd would" in talk
    assert "FADED" not in talk
    assert "the service exited and was restarted" in out
    nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, ExitStatus.INTERRUPTED), (signal.SIGTERM, 128 + 15)]
)
def test_a_signal_stops_everything(tmp_path: Path, sent: signal.Signals, status: int) -> None:
    day = hold(tmp_path, "lost-readers", path=tmp_path)
    assert day.stderr is not None
    while "The clock is running" not in (line := day.stderr.readline()):
        assert line, "it ended too early"
    day.send_signal(sent)
    day.communicate(timeout=PATIENCE * 2)
    assert day.returncode == status
    nothing_is_left(tmp_path)


def test_a_drill_of_one_worker_is_refused_with_the_way_to_run_it(tmp_path: Path) -> None:
    day = hold(tmp_path, "crashed-worker", "--yes", path=tmp_path)
    _, talk = day.communicate(timeout=LONG)
    assert day.returncode == ExitStatus.USAGE
    assert "`qcfeed --instance NAME-1 drill start`" in talk
    nothing_is_left(tmp_path)


def test_an_unknown_drill_is_refused_before_anything_starts(tmp_path: Path) -> None:
    day = hold(tmp_path, "zombies")
    _, talk = day.communicate(timeout=LONG)
    assert day.returncode == ExitStatus.USAGE
    assert "there is no drill 'zombies'" in talk
    nothing_is_left(tmp_path)
