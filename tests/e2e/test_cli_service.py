"""The commands against a real ``qcfeed serve``, as whole processes."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import jsonschema
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, qcfeed, serving, sound, until
from tests.support.websockets_client import connect

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    # A test's subscriber may read nothing for as long as a busy machine takes for the test.
    arguments = ("--no-monitor", "--linger", "0.1", "--stall-timeout", "3600")
    with serving(home, *arguments) as service:
        yield service


def drain(reader: ClientConnection) -> NoReturn:
    """Read until the connection is closed, which raises."""
    while True:
        reader.recv(timeout=PATIENCE)


def test_a_healthy_service(service: Serving, home: Path) -> None:
    left = sound(lambda: qcfeed(home, "status"))
    assert (left.returncode, left.stderr) == (ExitStatus.OK, "")
    assert f"pid {service.process.pid}," in left.stdout
    assert qcfeed(home, "orphans").returncode == ExitStatus.OK


def test_every_question_in_every_format(service: Serving, home: Path) -> None:
    with connect(f"{service.url}/quotes/AAPL") as reader:
        reader.recv(timeout=PATIENCE)
        for command in (["status"], ["tasks"], ["tasks", "--by-location"], ["feeds"]):
            for output in ("table", "wide", "json", "csv", "name"):
                left = qcfeed(home, *command, "-o", output)
                assert left.returncode == ExitStatus.OK, (command, output, left.stderr)
                assert left.stdout.endswith("\n")
                assert "\x1b" not in left.stdout


ANSWERS = [
    "status", "tasks", "tasks --by-location", "tasks --by-location --waits", "tasks --tree",
    "tasks --by label:symbol", "tasks findings", "tasks ended", "tasks failures", "tasks --window 0.1s",
    "orphans", "orphans --reap", "feeds", "subscribers", "stacks", "drill list", "diagnose --window 200ms",
    "growth",
]  # fmt: skip


@pytest.mark.parametrize("command", ANSWERS)
def test_answers_match_docs_schemas_json(service: Serving, home: Path, command: str) -> None:
    answer = json.loads(qcfeed(home, *command.split(), "-o", "json").stdout)
    schema = json.loads((PROJECT / "docs/schemas.json").read_text())
    (definition,) = [
        name
        for name, each in schema["$defs"].items()
        if answer["schema"] in each.get("properties", {}).get("schema", {}).get("enum", ())
    ]
    strict = schema | {"$ref": f"#/$defs/{definition}"}
    del strict["oneOf"]
    jsonschema.validate(answer, strict, jsonschema.Draft202012Validator)
    undeclared = answer.keys() - schema["$defs"][definition]["properties"].keys()
    assert undeclared == set()


def test_forced_colour_reaches_a_pipe_and_no_colour_wins(service: Serving, home: Path) -> None:
    assert "\x1b[1m" in qcfeed(home, "tasks", FORCE_COLOR="1").stdout
    assert "\x1b" not in qcfeed(home, "tasks", FORCE_COLOR="1", NO_COLOR="1").stdout


def test_the_books_balance(service: Serving, home: Path) -> None:
    answer = json.loads(qcfeed(home, "tasks", "--by-location", "-o", "json").stdout)
    totals = answer["totals"]
    assert totals["spawned"] == sum(
        totals[name] for name in ("live", "finished", "cancelled", "failed", "destroyed")
    )
    for name in ("live", "spawned", "finished", "cancelled", "failed"):
        assert totals[name] == sum(row[name] for row in answer["locations"])


def test_cancelling_a_feed_with_a_subscriber(service: Serving, home: Path) -> None:
    with connect(f"{service.url}/quotes/TSLA") as reader:
        reader.recv(timeout=PATIENCE)
        refused = qcfeed(home, "feeds", "cancel", "TSLA")
        assert refused.returncode == ExitStatus.REFUSED
        assert "1 feed with 1 subscriber" in refused.stderr
        reader.recv(timeout=PATIENCE)
        done = qcfeed(home, "feeds", "cancel", "tsla", "--yes", "-o", "csv")
        assert done.returncode == ExitStatus.OK, done.stderr
        assert done.stdout == "symbol,subscriber_count,joined\nTSLA,1,True\n"
        with pytest.raises(ConnectionClosed) as closed:
            drain(reader)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4410


def test_a_reader_that_leaves_early_hears_no_complaint(service: Serving, home: Path) -> None:
    line = f"set -o pipefail; {QCFEED} tasks --by-location -o csv | head -1; {QCFEED} tasks | true"
    left = subprocess.run(
        ["bash", "-c", line],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (left.returncode, left.stderr) == (0, "")
    assert left.stdout.startswith("location,")


def test_a_service_that_is_stopped_times_out(service: Serving, home: Path) -> None:
    service.process.send_signal(signal.SIGSTOP)
    try:
        left = qcfeed(
            home, "--instance", service.url.rpartition(":")[2], "--timeout", "0.5", "status"
        )
    finally:
        service.process.send_signal(signal.SIGCONT)
    assert left.returncode == ExitStatus.TIMED_OUT
    assert "did not answer within 0.5 s" in left.stderr


def test_the_doctor_has_nothing_against_a_sound_service(service: Serving, home: Path) -> None:
    port = service.url.rpartition(":")[2]
    left = sound(lambda: qcfeed(home, "doctor", QCFEED_PORT=port))
    assert f"{port} is in use by the service itself, instance {port}" in left.stdout
    assert re.fullmatch(r"\d+ skipped, \d+ passed\n", left.stderr), "and none failed"


def test_instances_side_by_side(service: Serving, home: Path) -> None:
    with serving(home, "--no-monitor", before=("--instance", "second")):
        left = qcfeed(home, "status")
        assert left.returncode == ExitStatus.USAGE
        assert "2 instances run here" in left.stderr
        assert "second (pid" in left.stderr
        named = qcfeed(home, "--instance", "second", "status", "-o", "name")
        assert named.stdout == "second\n"
        by_variable = qcfeed(home, "status", "-o", "name", QCFEED_INSTANCE="second")
        assert by_variable.stdout == "second\n"
        by_socket = qcfeed(
            home, "--socket", str(home / "qcfeed/second.sock"), "tasks", "-o", "json"
        )
        assert json.loads(by_socket.stdout)["instance"] == "second"
    sound(lambda: qcfeed(home, "status"))


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        pytest.param(
            "[::1]", marks=pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 on this machine")
        ),
    ],
)
def test_over_tcp_with_the_token(home: Path, tmp_path: Path, host: str) -> None:
    with serving(tmp_path, "--no-monitor", "--control-listen", f"{host}:0"):
        where = json.loads(qcfeed(tmp_path, "status", "-o", "json").stdout)["listening"]
        assert where["control_tcp"].startswith(f"{host}:")
        url = f"http://{where['control_tcp']}"
        sound(lambda: qcfeed(tmp_path, "--url", url, "status"))
        denied = qcfeed(tmp_path, "--url", url, "status", QCFEED_TOKEN="wrong")
        assert denied.returncode == ExitStatus.NOT_ALLOWED
        assert denied.stderr.startswith("qcfeed: error: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_leaves_with_its_books_balanced(tmp_path: Path, number: int) -> None:
    with serving(tmp_path, "--no-monitor") as service, connect(f"{service.url}/quotes/A") as reader:
        reader.recv(timeout=PATIENCE)
        assert service.end(number) == ExitStatus.OK
    assert service.talk[-1].startswith("ledger: ")
    assert service.talk[-1].endswith("; 0 live\n")


def test_a_taken_port_is_one_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        left = qcfeed(tmp_path, "serve", "--port", str(taken.getsockname()[1]))
    assert left.returncode == ExitStatus.UNREACHABLE
    assert left.stderr.count("qcfeed: error: ") == 1
    assert "Traceback" not in left.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["serve", "--upstream", "nonsense:"],
        ["serve", "--upstream", "replay:/nowhere.jsonl"],
        ["serve", "--port", "99999"],
        ["serve", "--drill", "zombie-foods"],
        ["--instance", "../x", "serve", "--port", "0"],
    ],
)
def test_a_setting_that_cannot_be_is_one_error(tmp_path: Path, args: list[str]) -> None:
    left = qcfeed(tmp_path, *args)
    assert left.returncode in (ExitStatus.USAGE, ExitStatus.UNREACHABLE), left.stderr
    assert left.stderr.count("qcfeed: error: ") == 1
    assert "Traceback" not in left.stderr


def test_the_drill_is_found_and_reaped(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-monitor", "--drill", "zombie-feeds=300"):

        def count() -> int:
            return int(json.loads(qcfeed(tmp_path, "orphans", "-o", "json").stdout)["total"])

        until(lambda: count() >= 300, "300 zombies")
        status = qcfeed(tmp_path, "status")
        assert status.returncode == ExitStatus.FINDINGS
        assert status.stdout.startswith("DRILL")
        listed = qcfeed(tmp_path, "orphans", "-o", "csv")
        assert listed.returncode == ExitStatus.FINDINGS
        assert len(listed.stdout.splitlines()) == 301
        by_location = json.loads(qcfeed(tmp_path, "tasks", "--by-location", "-o", "json").stdout)
        [leak] = [row for row in by_location["locations"] if row["orphaned"]]
        assert leak["orphaned"] == 300
        assert "zombies.py:" in leak["location"]

        reaped = qcfeed(tmp_path, "orphans", "--reap", "-o", "json")
        assert reaped.returncode == ExitStatus.OK, reaped.stderr
        assert json.loads(reaped.stdout)["cancelled"] == 300
        assert qcfeed(tmp_path, "orphans").returncode == ExitStatus.OK


def test_kicking_a_subscriber(service: Serving, home: Path) -> None:
    with connect(f"{service.url}/quotes/NVDA?slow=disconnect") as reader:
        reader.recv(timeout=PATIENCE)
        listed = qcfeed(home, "subscribers", "--symbol", "nvda", "-o", "json")
        (row,) = json.loads(listed.stdout)["subscribers"]
        assert (row["symbols"], row["policy"]) == (["NVDA"], "disconnect")
        for output in ("table", "wide", "csv", "name"):
            left = qcfeed(home, "subscribers", "-o", output)
            assert str(row["id"]) in left.stdout, (output, left.stderr)
        refused = qcfeed(home, "subscribers", "kick", str(row["id"]))
        assert refused.returncode == ExitStatus.REFUSED
        reader.recv(timeout=PATIENCE)
        done = qcfeed(home, "subscribers", "kick", "--symbol", "NVDA", "--yes")
        assert done.returncode == ExitStatus.OK, done.stderr
        with pytest.raises(ConnectionClosed) as closed:
            drain(reader)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4411
