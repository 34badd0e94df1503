"""``qcfeed runbook run``: a page's commands on a real service, with questions and a transcript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, environment, qcfeed, serving, until

PAGE = "QcfeedOrphanedTasks"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Somebody whose service has 20 orphans."""
    with serving(tmp_path, "--no-monitor", "--drill", "zombie-feeds=20"):
        until(lambda: orphans(tmp_path) == 20, "the orphans")
        yield tmp_path


def orphans(home: Path) -> int:
    return len(qcfeed(home, "orphans", "-o", "name").stdout.split())


def test_all_steps_of_a_page_are_run_and_compared(home: Path) -> None:
    done = qcfeed(home, "runbook", "run", PAGE, "--yes", "--transcript", str(home / "night.md"))
    assert done.returncode == ExitStatus.OK, done.stderr
    assert "4 steps, 0 not as the page shows" in done.stderr
    assert "$ qcfeed orphans --reap" in done.stderr
    assert orphans(home) == 0
    written = (home / "night.md").read_text()
    assert written.count("as the page shows") == 4
    assert "$ qcfeed orphans --reap\n    cancelled" in written
    again = qcfeed(home, "runbook", "run", PAGE, "--yes", "--transcript", str(home / "night.md"))
    assert again.returncode == ExitStatus.REFUSED
    assert (home / "night.md").read_text() == written, "a transcript is evidence"


def test_without_a_terminal_nothing_is_done_unasked(home: Path) -> None:
    done = qcfeed(home, "runbook", "run", PAGE)
    assert done.returncode == ExitStatus.REFUSED
    assert "--read-only skips them, --yes runs them" in done.stderr
    assert orphans(home) == 20


def test_reading_only_changes_nothing_and_says_what_differs(home: Path) -> None:
    file = home / "looked.md"
    done = qcfeed(home, "runbook", "run", PAGE, "--read-only", "--transcript", str(file))
    assert done.returncode == ExitStatus.FINDINGS, "the orphans are still there"
    assert "=> skipped" in done.stderr
    assert "=> not as the page shows, which is:\n   no orphans" in done.stderr
    assert orphans(home) == 20
    assert "Verification: not as the page shows, exit status 1" in file.read_text()


def test_on_a_terminal_it_asks_before_a_command_that_acts(home: Path) -> None:
    told = pexpect.spawn(
        str(QCFEED),
        ["runbook", "run", PAGE, "--transcript", str(home / "asked.md")],
        env=environment(home),  # type: ignore[arg-type]
        encoding="utf-8",
        timeout=PATIENCE,
    )
    try:
        told.expect_exact("orphans --reap")
        told.expect_exact("run it? [y/N]")
        assert orphans(home) == 20
        told.sendline("y")
        told.expect_exact("4 steps, 0 not as the page shows")
        told.expect(pexpect.EOF)
    finally:
        told.close()
    assert told.exitstatus == ExitStatus.OK
    assert orphans(home) == 0


def test_an_interrupted_run_leaves_its_transcript(home: Path) -> None:
    file = home / "half.md"
    told = pexpect.spawn(
        str(QCFEED),
        ["runbook", "run", PAGE, "--transcript", str(file)],
        env=environment(home),  # type: ignore[arg-type]
        encoding="utf-8",
        timeout=PATIENCE,
    )
    try:
        told.expect_exact("run it? [y/N]")
        told.sendintr()
        told.expect(pexpect.EOF)
    finally:
        told.close()
    assert told.exitstatus == ExitStatus.INTERRUPTED
    assert "It was stopped; 2 steps did not run." in file.read_text()
    assert orphans(home) == 20


def test_a_run_goes_to_the_service_that_was_named(home: Path) -> None:
    file = str(home / "elsewhere.md")
    run = ("runbook", "run", PAGE, "--read-only", "--transcript", file)
    done = qcfeed(home, "--instance", "elsewhere", *run)
    assert "$ qcfeed --instance elsewhere orphans --limit 3" in done.stderr
    assert done.returncode == ExitStatus.UNREACHABLE, "it could not look, which is no finding"
    assert "=> no answer" in done.stderr
    assert "It was stopped; 3 steps did not run." in Path(file).read_text()
