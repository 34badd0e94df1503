"""``qcfeed repro`` against the fixed service and against the incident: the check can fail."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, qcfeed, serving, until

QUICK = ("--no-monitor", "--linger", "0.2", "--ping-interval", "1", "--stall-timeout", "1")
SETTLE = ("--settle", f"{PATIENCE:g}")
"""What is to be flat may take a busy machine's time; it ends as soon as it is."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    with serving(home, *QUICK) as service:
        yield service


def repro(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """One run, piped; half-open takes the service its five seconds to close, a batch."""
    command = [QCFEED, "repro", "-o", "json", *args]
    return subprocess.run(
        command, env=environment(home), capture_output=True, text=True, timeout=5 * PATIENCE
    )


def test_the_fixed_service_is_flat_in_every_mode(service: Serving, home: Path) -> None:
    left = repro(home, service.url, "--cycles", "200", *SETTLE)
    assert (left.returncode, left.stderr) == (ExitStatus.OK, "")
    report = json.loads(left.stdout)
    assert report["schema"] == "qcfeed.repro/2"
    assert (report["flat"], report["drill"], report["pid"]) == (True, None, service.process.pid)
    assert [mode["mode"] for mode in report["modes"]] == ["clean", "rude", "quiet", "half-open"]
    for mode in report["modes"]:
        assert mode["cycle_count"] == 200
        assert mode["problems"] == []
        assert mode["settled_s"] is not None
        counts = {k: v for k, v in mode["difference"].items() if k != "resident_bytes"}
        assert set(counts.values()) == {0}


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a service that leaks on purpose."""
    home = tmp_path_factory.mktemp("drill")
    with serving(home, *QUICK, "--drill", "zombie-feeds"):
        yield home


@pytest.mark.parametrize(
    ("mode", "settle"), [("clean", 5), ("rude", 5), ("quiet", 5), ("half-open", 20)]
)
def test_the_incident_is_found_in_every_way_to_leave(drill: Path, mode: str, settle: int) -> None:
    leak = ["tasks +40", "orphans +40"]  # 20 cycles, and 20 to warm up
    for seconds in (settle, PATIENCE):  # a busy machine may need longer to release what is no leak
        left = repro(drill, "--cycles", "20", "--settle", f"{seconds:g}", "--mode", mode)
        assert left.returncode == ExitStatus.FINDINGS
        report = json.loads(left.stdout)
        assert (report["flat"], report["drill"]) == (False, "zombie-feeds")
        (result,) = report["modes"]
        if result["problems"] == leak:
            break
    assert result["problems"] == leak
    assert f"finding: {mode}: tasks +40, orphans +40" in left.stderr
    assert "`qcfeed orphans`" in left.stderr


def test_repro_waits_when_it_is_over_the_subscription_rate(tmp_path: Path) -> None:
    # So low that clients come faster on a busy machine, too.
    with serving(tmp_path, *QUICK, "--subscribe-rate", "1"):
        left = repro(tmp_path, "--cycles", "4", "--mode", "clean", *SETTLE)
    assert left.returncode == ExitStatus.OK, left.stderr
    (mode,) = json.loads(left.stdout)["modes"]
    assert mode["retries"] > 0


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["ws://127.0.0.1:1"], ExitStatus.UNREACHABLE, "cannot reach ws://127.0.0.1:1"),
        (["http://127.0.0.1:1"], ExitStatus.USAGE, "not a server's URL"),
        (["--symbol", "NOPE"], ExitStatus.USAGE, "unknown symbol NOPE"),
        (["--symbol", "../x"], ExitStatus.USAGE, "'../x' is not a symbol"),
        (["--mode", "quiet", "--quiet-symbol", "NOPE"], ExitStatus.USAGE, "unknown symbol NOPE"),
        (["--mode", "polite"], ExitStatus.USAGE, "polite"),
    ],
)
def test_impossible_options_are_usage_errors(
    service: Serving, home: Path, args: list[str], status: ExitStatus, words: str
) -> None:
    left = qcfeed(home, "repro", "--cycles", "1", *args)
    assert left.returncode == status
    assert words in left.stderr
    assert left.stdout == ""


def test_no_service_at_all(tmp_path: Path) -> None:
    left = qcfeed(tmp_path, "repro")
    assert left.returncode == ExitStatus.UNREACHABLE
    assert "`qcfeed serve`" in left.stderr


def test_the_url_of_another_service_is_not_mixed_up(
    service: Serving, home: Path, tmp_path: Path
) -> None:
    with serving(home, *QUICK, before=("--instance", "second")) as second:
        left = qcfeed(home, "--instance", "second", "repro", service.url, "--cycles", "1")
    assert left.returncode == ExitStatus.USAGE
    assert second.url.removeprefix("ws://") in left.stderr


def test_on_a_terminal_a_bar_and_a_table_that_fits(service: Serving, home: Path) -> None:
    child = pexpect.spawn(
        str(QCFEED),
        ["repro", "--cycles", "50", "--mode", "rude", *SETTLE],
        env=environment(home) | {"TERM": "xterm", "NO_COLOR": "1"},
        encoding="utf-8",
        dimensions=(24, 80),
        timeout=PATIENCE,
    )
    child.expect("rude: wait for the service to settle")
    child.expect("MODE ")
    table = "MODE " + str(child.read()).replace("\r", "")
    child.close()
    assert child.exitstatus == ExitStatus.OK
    header, row = table.splitlines()[:2]
    assert max(map(len, (header, row))) <= 80
    assert row.startswith("rude ")
    assert row.endswith("nothing")


def visits(service: Serving) -> int:
    """Connections that it has accepted so far."""
    with urllib.request.urlopen(f"http{service.url[2:]}/metrics", timeout=PATIENCE) as answer:
        told = answer.read().decode()
    return int(float(re.findall(r"^qcfeed_connections_opened_total (\S+)", told, re.MULTILINE)[0]))


def test_an_interrupted_run_leaves_nothing_behind(service: Serving, home: Path) -> None:
    before = visits(service)
    with subprocess.Popen(
        [QCFEED, "repro", service.url, "--cycles", "1000000", "--mode", "rude"],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: visits(service) > before + 10, "the run")
        process.send_signal(signal.SIGINT)
        out, talk = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (ExitStatus.INTERRUPTED, "")
    assert "Traceback" not in talk
    assert (
        qcfeed(home, "repro", "--cycles", "10", "--mode", "clean", *SETTLE).returncode
        == ExitStatus.OK
    )
