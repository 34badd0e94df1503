"""Reading actions and actors from a real audit log."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import typer

from qcfeed.cli.drill_rehearse import conclude
from qcfeed.control.audit import AuditLog, Caller
from qcfeed.drills import catalog
from qcfeed.drills.rehearsal.audit_entries import audit_entries
from qcfeed.drills.rehearsal.game_day import GameDay
from qcfeed.drills.rehearsal.processes import AUDIT_LOG, Processes
from qcfeed.drills.runner import SERVICE_CALLER
from qcfeed.errors import ExitStatus

ANA = Caller("socket", 1000, "ana", 4711)


def act(log: AuditLog, word: str, caller: Caller, outcome: str = "done") -> None:
    log.conclude(log.intend(word, caller, {}), outcome)


def test_completed_actions_since_a_time_with_their_actors(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / AUDIT_LOG)
    act(log, "drill start", ANA)
    since = time.time()
    log.intend("orphans.reap", ANA, {})  # not completed
    act(log, "orphans.reap", ANA, "failed")
    act(log, "subscribers kick", Caller("token"))
    act(log, "drill stop", SERVICE_CALLER)
    found = audit_entries(log.path.read_text().splitlines(), since)
    assert [(each.action, each.who, each.outcome, each.by_operator) for each in found] == [
        ("orphans.reap", "ana", "failed", True),
        ("subscribers kick", "token", "done", True),
        ("drill stop", "service", "done", False),
    ]
    assert all(since <= each.at <= time.time() for each in found)


def day(home: Path) -> GameDay:
    """A rehearsal whose drill has just started, without any processes."""
    made = GameDay(Processes(home, "rehearsal"), catalog.parse("lost-readers=3"), lambda _: None)
    made.start_clock()
    return made


def test_a_fault_that_ends_by_itself_is_not_mitigated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = day(tmp_path)
    log = AuditLog(tmp_path / AUDIT_LOG)
    act(log, "drill stop", SERVICE_CALLER)
    act(log, "orphans.reap", ANA, "not_begun")
    assert not held.mitigated
    with pytest.raises(typer.Exit) as left:
        conclude(held)
    assert left.value.exit_code == ExitStatus.FINDINGS
    out, talk = capsys.readouterr()
    assert "FADED: the fault ended by itself" in talk
    assert "drill stop, by service: done" in out


def test_any_action_counts_as_mitigation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = day(tmp_path)
    act(AuditLog(tmp_path / AUDIT_LOG), "orphans.reap", ANA)
    conclude(held)
    out, talk = capsys.readouterr()
    assert "orphans.reap, by ana: done" in out
    assert "FADED" not in talk
