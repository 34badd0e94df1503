"""Flow, saved snapshots, findings and the proof of a fix, against a real ``qcfeed serve``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from qcfeed.drills import zombies as manager
from qcfeed.errors import ExitStatus
from qcfeed.server import feed
from tests.support.machine import of_the_program
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, qcfeed, serving, until

COLUMNS = 80


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    with serving(home, "--no-monitor", "--linger", "0") as service:  # a feed for each visit
        yield service


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which the incident is rehearsed."""
    home = tmp_path_factory.mktemp("drill")
    with serving(home, "--no-monitor", "--linger", "0.05", "--drill", "zombie-feeds"):
        yield home


def line(module: object, words: str) -> str:
    """``file:line`` of the only line of a module's source that holds ``words``."""
    path = Path(str(module.__file__))  # type: ignore[attr-defined]
    lines = path.read_text().splitlines()
    [number] = [n for n, text in enumerate(lines, 1) if words in text]
    return f"{path.name}:{number}"


def visitors(home: Path, cycles: int = 30) -> subprocess.CompletedProcess[str]:
    """Clients that come and go, and as many before them to warm up."""
    return qcfeed(home, "repro", "--mode", "clean", "--cycles", str(cycles), "--settle", "1")


def found(home: Path) -> list[dict[str, Any]]:
    left = qcfeed(home, "tasks", "findings", "-o", "json")
    assert left.returncode in (ExitStatus.OK, ExitStatus.FINDINGS), left.stderr
    return list(json.loads(left.stdout)["findings"])


def test_a_healthy_service_has_no_finding(service: Serving, home: Path) -> None:
    visitors(home)
    assert of_the_program(found(home)) == []


def test_before_and_after_from_files_without_the_service(drill: Path, tmp_path: Path) -> None:
    before, after = str(tmp_path / "before.json"), str(tmp_path / "after.json")
    visitors(drill, cycles=1)
    assert qcfeed(drill, "tasks", "--by-location", "--save", before).returncode == ExitStatus.OK
    visitors(drill)
    assert qcfeed(drill, "tasks", "--by-location", "--save", after).returncode == ExitStatus.OK
    elsewhere = tmp_path / "another machine"
    elsewhere.mkdir()
    left = qcfeed(elsewhere, "tasks", "diff", before, after, "-o", "json")
    worst = json.loads(left.stdout)["locations"][0]
    assert worst["location"].endswith(line(manager, "_generate_quotes(subscriber))"))
    assert worst["live"] - worst["live_before"] == worst["spawned"] - worst["ended"] == 60
    now = json.loads(qcfeed(drill, "tasks", "diff", before, "-o", "json").stdout)
    assert now["locations"][0]["live"] == worst["live"]
    shown = qcfeed(elsewhere, "tasks", "--from", after, "--by-location", "-o", "csv").stdout
    assert f"{worst['location']}," in shown
    site = ("--site", worst["location"], "--from", after)
    serial = qcfeed(elsewhere, "tasks", *site, "--limit", "1", "-o", "name").stdout.strip()
    told = qcfeed(elsewhere, "tasks", "show", serial, "--from", after).stdout
    assert "await asyncio.sleep(self._period)" in told
    flame = json.loads(qcfeed(elsewhere, "tasks", *site, "-o", "speedscope").stdout)
    assert flame["profiles"][0]["endValue"] == worst["live"]
    found = qcfeed(elsewhere, "tasks", "findings", "--from", after)
    first = found.stderr.partition("\n")[0]
    assert first.startswith("as of ")
    assert first.endswith(f", read from {after}")


def verify(home: Path, site: str, *args: str) -> subprocess.CompletedProcess[str]:
    """``tasks verify`` while visitors come and go: from before its first look until after its last."""
    coming = [QCFEED, "repro", "--mode", "clean", "--cycles", "1000000", "--concurrency", "1"]
    with subprocess.Popen(
        coming, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as visiting:
        try:
            until(lambda: bool(births(home, site)), "the first visitor")
            return qcfeed(
                home, "tasks", "verify", "--site", site, "--for", "5s", "-o", "json", *args
            )
        finally:
            visiting.kill()


def births(home: Path, site: str) -> int:
    """Tasks that were ever born at the line."""
    answer = json.loads(qcfeed(home, "tasks", "--by-location", "-o", "json").stdout)
    return sum(row["spawned"] for row in answer["locations"] if row["location"].endswith(site))


def test_verify_passes_the_service_and_fails_the_drill(
    service: Serving, home: Path, drill: Path
) -> None:
    left = verify(home, line(feed, "create_task("), "--min-spawned", "2")
    assert left.returncode == ExitStatus.OK, left.stdout + left.stderr
    held = json.loads(left.stdout)
    assert held["outcome"] == "holds"
    assert held["spawned"] >= 2

    zombies = line(manager, "_generate_quotes(subscriber))")
    left = verify(drill, zombies, "--min-spawned", "2")
    assert left.returncode == ExitStatus.FINDINGS, left.stdout + left.stderr
    assert json.loads(left.stdout)["outcome"] == "leaks"


def test_the_drills_leak_is_found_with_the_command_that_ends_it(drill: Path) -> None:
    visitors(drill)
    until(lambda: [each["certainty"] for each in orphans(drill)] == ["proved"], "it")
    (finding,) = orphans(drill)
    assert finding["location"].endswith(line(manager, "_generate_quotes(subscriber))"))
    assert finding["next"] == ["qcfeed orphans --reap"]
    assert qcfeed(drill, *finding["next"][0].split()[1:]).returncode == ExitStatus.OK
    assert orphans(drill) == []


def orphans(home: Path) -> list[dict[str, Any]]:
    return [each for each in found(home) if each["rule"] == "orphans"]


def test_verify_without_traffic_proves_nothing(service: Serving, home: Path) -> None:
    site = line(feed, "create_task(")
    left = qcfeed(home, "tasks", "verify", "--site", site, "--for", "700ms")
    assert left.returncode == ExitStatus.FINDINGS
    assert "unproven" in left.stdout
    assert "too little traffic to tell" in left.stdout


def test_watch_is_redrawn_in_place_on_80_columns_and_left_by_ctrl_c(
    service: Serving, home: Path
) -> None:
    child = pexpect.spawn(
        str(QCFEED),
        ["tasks", "--watch", "--window", "300ms"],
        env=environment(home) | {"TERM": "xterm"},
        encoding="utf-8",
        dimensions=(30, COLUMNS),
        timeout=PATIENCE,
    )
    for _ in range(3):
        child.expect_exact("run.py:")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == ExitStatus.OK
    assert "Traceback" not in child.before


def test_watch_in_a_pipe_is_a_block_a_time(service: Serving, home: Path) -> None:
    command = [QCFEED, "tasks", "--watch", "--window", "200ms", "-o", "json"]
    with subprocess.Popen(
        command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        blocks = [json.loads(watching.stdout.readline()) for _ in range(3)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE) == ExitStatus.OK
    assert {block["schema"] for block in blocks} == {"qcfeed.tasks.window/2"}
    assert [b["before_at"] for b in blocks[1:]] == [b["taken_at"] for b in blocks[:-1]]


def test_verify_says_what_is_known_so_far_on_ctrl_c(service: Serving, home: Path) -> None:
    child = pexpect.spawn(
        str(QCFEED),
        ["tasks", "verify", "--site", "feed.py:1", "--for", "10m"],
        env=environment(home) | {"TERM": "xterm", "NO_COLOR": "1"},
        encoding="utf-8",
        dimensions=(30, COLUMNS),
        timeout=PATIENCE,
    )
    child.expect_exact("of 10m00s: 0 created, 0 live, 0 orphaned")
    child.sendintr()
    child.expect(re.compile(r"verdict +unproven: "))
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == ExitStatus.INTERRUPTED
