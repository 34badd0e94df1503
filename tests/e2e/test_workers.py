"""``serve --workers``: several processes behind one port that start, are seen, and end as one service."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from qcfeed.errors import ExitStatus, StartError
from qcfeed.nats_program import find
from tests.support.patience import PATIENCE
from tests.support.processes import has_ended
from tests.support.shell import Serving, qcfeed, serving, sound, until
from tests.support.websockets_client import connect

CLIENTS = 40
"""So many that the kernel's choice does not leave one of two gateways out: 1 in 10**11."""

pytest.importorskip(
    "nats", reason="the NATS client is not installed: pip install 'qcfeed[cluster]'"
)
try:
    find("--workers")
except StartError as missing:
    pytest.skip(f"{missing.message}: pip install 'qcfeed[cluster]'", allow_module_level=True)


@contextlib.contextmanager
def workers(home: Path, *args: str) -> Iterator[Serving]:
    with serving(home, "--no-monitor", "--workers", "2", "--upstream", "sim:?rate=20", *args) as it:
        family = psutil.Process(it.process.pid).children(recursive=True)
        yield it
    left = [each for each in family if not has_ended(each)]
    assert left == [], "processes are left"


def told(home: Path, *args: str) -> Any:
    done = qcfeed(home, *args, "-o", "json")
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def by_name(home: Path) -> dict[str, Any]:
    return {each["name"]: each for each in told(home, "workers")["workers"]}


def quote(reader: ClientConnection) -> Any:
    while (message := json.loads(reader.recv(timeout=PATIENCE)))["type"] != "quote":
        pass
    return message


def test_a_service_of_workers_is_one_service(tmp_path: Path) -> None:
    with workers(tmp_path) as service, contextlib.ExitStack() as stack:
        port = service.url.rpartition(":")[2]
        readers = [
            stack.enter_context(connect(f"{service.url}/quotes/AAPL")) for _ in range(CLIENTS)
        ]
        epochs = {quote(reader)["epoch"] for reader in readers}
        assert len(epochs) == 1, "all gateways have the quotes of one feeder"
        _it_is_listed_as_one(tmp_path, port)
        _the_whole_cluster_answers(tmp_path, port)
        _a_killed_worker_comes_back(tmp_path, port, service)
        _a_restarted_feeder_hands_over_to_its_successor(tmp_path, port, service)
        _workers_are_restarted_one_by_one(tmp_path, port, service)
        assert service.end() == ExitStatus.OK
        assert all(closed_with(reader) in (1001, None) for reader in readers)
    assert not list(tmp_path.rglob("*.workers")), "its files are removed"


def _it_is_listed_as_one(home: Path, port: str) -> None:
    # Gateways count as connected once the owner has announced itself.
    until(lambda: qcfeed(home, "status").returncode == ExitStatus.OK, "a sound service")
    status = qcfeed(home, "status")
    assert f"{port}, pid " in status.stderr
    assert [line.split()[:3] for line in status.stdout.splitlines()[1:]] == [
        [f"{port}-nats", "nats", "ready"],
        [f"{port}-feeder", "feeder", "ready"],
        [f"{port}-1", "gateway", "ready"],
        [f"{port}-2", "gateway", "ready"],
    ]
    rows = by_name(home)
    counts = [rows[f"{port}-{number}"]["status"]["connections"] for number in (1, 2)]
    assert sum(counts) == CLIENTS
    assert min(counts) > 0, "one of them serves nobody"
    assert rows[f"{port}-feeder"]["status"]["feed_count"] == 1
    one = told(home, "--instance", f"{port}-2", "status")
    assert one["pid"] == rows[f"{port}-2"]["process"]
    _the_supervisor_names_its_workers(home, port)


def _the_supervisor_names_its_workers(home: Path, port: str) -> None:
    """It never answers for them: it has no feeds, and its own tasks are no evidence about theirs."""
    for command in (
        "feeds", "subscribers", "orphans", "orphans --reap", "diagnose", "report", "growth", "memory",
        "drill list", "tasks findings", "feeds cancel AAPL",
    ):  # fmt: skip
        refused = qcfeed(home, "--instance", port, *command.split())
        assert refused.returncode == ExitStatus.USAGE, command
        assert f"{port} is the supervisor of several processes" in refused.stderr, command
        assert f"`qcfeed --instance {port}-1 ...` names one" in refused.stderr, command
        assert refused.stdout == "", command


def _the_whole_cluster_answers(home: Path, port: str) -> None:
    names = {f"{port}-1", f"{port}-2", f"{port}-feeder"}
    for command in (["status"], ["feeds"], ["subscribers"], ["tasks", "--by-location"]):
        least = names - ({f"{port}-feeder"} if command == ["subscribers"] else set())
        until(partial(_all_answer, home, command, least), f"every answer to {command}")
    table = qcfeed(home, "--cluster", "feeds").stdout
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [
        [name, "AAPL"] for name in sorted(names)
    ]
    for command in ("orphans", "diagnose"):
        sound(partial(qcfeed, home, "--cluster", command))
    refused = qcfeed(home, "--cluster", "stacks")
    assert refused.returncode == ExitStatus.USAGE
    assert "for one instance" in refused.stderr
    filtered = qcfeed(home, "--cluster", "orphans", "--site", "x.py")
    assert "--site cannot be combined with --cluster" in filtered.stderr


def _all_answer(home: Path, command: list[str], least: set[str]) -> bool:
    """In the time that a command has; a busy machine may need longer."""
    answers = told(home, "--cluster", *command)
    return {each["member"] for each in answers["answers"]} >= least and not answers["unanswered"]


def _a_killed_worker_comes_back(home: Path, port: str, service: Serving) -> None:
    before = by_name(home)[f"{port}-1"]
    os.kill(before["process"], signal.SIGKILL)
    service.hear(f"{port}-1 was killed by SIGKILL; it starts again in")
    service.hear(f"{port}-1 runs again")
    after = by_name(home)[f"{port}-1"]
    assert (after["state"], after["restarts"]) == ("ready", 1)
    assert after["process"] != before["process"]


def _a_restarted_feeder_hands_over_to_its_successor(
    home: Path, port: str, service: Serving
) -> None:
    name = f"{port}-feeder"
    before = by_name(home)[name]
    with connect(f"{service.url}/quotes/AAPL") as reader:
        first = quote(reader)["epoch"]
        done = qcfeed(home, "workers", "restart", name)
        assert done.stderr == f"restarted {name}\n"
        while quote(reader)["epoch"] == first:
            pass
    after = by_name(home)[name]
    assert after["status"]["instance"] == name, "the successor has its predecessor's name"
    assert after["status"]["pid"] == after["process"] != before["process"]
    assert after["restarts_by_reason"]["requested"] == 1
    # In this order, each heard after the one before.
    assert f"(pid {after['process']}), which stands by" in service.hear("has a successor")
    service.hear("no longer owner of share 1/1")
    service.hear(f"{name} runs again (pid {after['process']})")


def _workers_are_restarted_one_by_one(home: Path, port: str, service: Serving) -> None:
    before = by_name(home)
    done = qcfeed(home, "workers", "restart")
    assert done.stderr == f"restarted {port}-1, {port}-2, {port}-feeder\n"
    after = by_name(home)
    assert {name for name in before if before[name]["process"] != after[name]["process"]} == {
        f"{port}-1", f"{port}-2", f"{port}-feeder",
    }  # fmt: skip
    with connect(f"{service.url}/quotes/AAPL") as reader:
        quote(reader)
    wrong = qcfeed(home, "workers", "restart", "nobody")
    assert wrong.returncode == ExitStatus.USAGE
    assert "no worker nobody" in wrong.stderr


def closed_with(reader: ClientConnection) -> int | None:
    """The close code that the service gave; None if the connection was lost with its gateway."""
    try:
        while True:
            reader.recv(timeout=PATIENCE)
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code


def test_no_worker_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with workers(tmp_path) as service:
        family = psutil.Process(service.process.pid).children(recursive=True)
        assert len(family) == 4
        stopped = next(each for each in family if "serve" in each.cmdline())
        stopped.suspend()
        service.process.kill()
        _, alive = psutil.wait_procs(family, timeout=PATIENCE)
        assert alive == []
    with workers(tmp_path, "--admin-listen", "127.0.0.1:0") as again:
        assert again.end(signal.SIGINT) == ExitStatus.OK


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["--upstream", "replay:nowhere.jsonl"], ExitStatus.USAGE, "-feeder did not start: "),
        (["--upstream", "nothing:"], ExitStatus.USAGE, "unknown scheme 'nothing'"),
        (["--market-hours", "never"], ExitStatus.USAGE, "--market-hours is 'never'"),
        (["--drill", "zombie-feeds"], ExitStatus.USAGE, "--drill is for one process"),
    ],
)
def test_what_keeps_a_worker_from_starting_reaches_the_user(
    tmp_path: Path, args: list[str], status: ExitStatus, said: str
) -> None:
    done = qcfeed(tmp_path, "serve", "--no-monitor", "--workers", "2", "--port", "0", *args)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert done.stderr.count("qcfeed: error: ") == 1, "it is told once"
    assert not list(tmp_path.rglob("*.workers"))


def test_a_closed_terminal_drains_the_group_as_sigterm_does(tmp_path: Path) -> None:
    with workers(tmp_path) as service:
        assert service.end(signal.SIGHUP) == ExitStatus.OK
        assert any("draining 2 workers" in line for line in service.talk)
    assert not list(tmp_path.rglob("*.sock")), "a killed group would leave them"


def test_a_taken_port_is_one_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = qcfeed(tmp_path, "serve", "--workers", "2", "--port", port)
    assert done.returncode == ExitStatus.UNREACHABLE
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr


def hear_all(service: Serving, heard: list[str], *words: str) -> None:
    """Hear all of ``words``, in any order; ``heard``: lines before."""
    while any(all(each not in line for line in heard) for each in words):
        heard.append(service.hear(""))


def test_a_stuck_worker_stays_named_in_status_while_it_is_not_restarted(tmp_path: Path) -> None:
    with workers(tmp_path, "--worker-timeout", "0") as service:
        one = f"{service.url.rpartition(':')[2]}-1"
        process = by_name(tmp_path)[one]["process"]
        os.kill(process, signal.SIGSTOP)
        try:
            service.hear(f"{one} is stuck: it does not answer, for ")
            status = qcfeed(tmp_path, "status")
        finally:
            os.kill(process, signal.SIGCONT)
        assert status.returncode == ExitStatus.FINDINGS
        assert f"finding: {one} is stuck: " in status.stderr


def test_a_stuck_worker_is_named_and_restarted_after_its_limit(tmp_path: Path) -> None:
    """One is stopped, and the event loop of the other one is in a blocking call."""
    limit = ("--worker-timeout", "3", "--allow-drills", "--admin-listen", "127.0.0.1:0")
    with workers(tmp_path, *limit) as service:
        port = service.url.rpartition(":")[2]
        before = by_name(tmp_path)
        one, other = f"{port}-1", f"{port}-2"
        os.kill(before[one]["process"], signal.SIGSTOP)
        drill = ("drill", "start", "stuck-loop=30", "--for", "300")
        assert qcfeed(tmp_path, "--instance", other, *drill).returncode == ExitStatus.OK
        first = service.hear(" is stuck: ")
        name = one if f"{one} is stuck" in first else other
        row = by_name(tmp_path)[name]
        assert row["state"] == "stuck" or "was stuck (" in row["problem"], row
        hear_all(
            service,
            [first],
            f"{one} is stuck: it does not answer, for ",
            f"{other} is stuck: its event loop does not run, for ",
            f"{one} was stuck (it does not answer, for ",
            f"{other} was stuck (its event loop does not run, for ",
            f"{one} runs again",
            f"{other} runs again",
        )
        assert "stuck_loop.py" in "".join(service.talk), "the log has the blocking call"
        after = by_name(tmp_path)
        for name in (one, other):
            assert after[name]["state"] == "ready"
            assert after[name]["process"] != before[name]["process"]
            # A busy machine may hold a new one up for as long, too.
            restarts = after[name]["restarts_by_reason"]
            assert restarts == {"ended": 0, "stuck": restarts["stuck"], "requested": 0}
            assert restarts["stuck"] >= 1
            admin = after[name]["status"]["listening"]["admin"]
            with urllib.request.urlopen(f"http://{admin}/metrics", timeout=PATIENCE) as answer:
                shown = re.search(rb'restarts_total{reason="stuck"} ([\d.]+)', answer.read())
                assert shown is not None
                assert float(shown[1]) >= 1
        os.kill(before[f"{port}-nats"]["process"], signal.SIGSTOP)
        service.hear(f"{port}-nats is stuck: it does not answer, for ")
        service.hear(f"{port}-nats runs again")
        with connect(f"{service.url}/quotes/AAPL") as reader:
            quote(reader)


@pytest.mark.parametrize("flag", ["--nats-user", "--nats-operators"])
def test_options_for_nats_are_refused_with_workers(tmp_path: Path, flag: str) -> None:
    value = {"--nats-user": "me", "--nats-operators": "act"}[flag]
    done = qcfeed(tmp_path, "serve", "--workers", "2", "--port", "0", flag, value)
    assert done.returncode == ExitStatus.USAGE
    assert f"{flag} has no effect with --workers" in done.stderr
