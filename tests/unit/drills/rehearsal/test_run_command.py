"""A runbook's command ends together with all processes it has started."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from qcfeed import runbook_commands
from qcfeed.drills import catalog
from qcfeed.drills.rehearsal import game_day
from qcfeed.drills.rehearsal.game_day import GameDay
from qcfeed.drills.rehearsal.processes import Processes
from tests.support.shell import until

LASTS = "sleep 3600 & echo $! > began; mv began pid; wait"


@pytest.fixture
def day(tmp_path: Path) -> GameDay:
    return GameDay(
        Processes(tmp_path, "rehearsal"), catalog.parse("lost-readers=3"), lambda _: None
    )


def is_gone(home: Path) -> bool:
    try:
        return psutil.Process(int((home / "pid").read_text())).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_command_s_stdout_and_stderr_are_returned(day: GameDay) -> None:
    assert day.run_command("echo out; echo err >&2") == "out\nerr\n"


def test_a_command_that_takes_too_long_is_ended(
    day: GameDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(game_day, "COMMAND_TIMEOUT", 0.5)
    assert day.run_command("sleep 3600") == "no answer within 0.5 s"


def test_ctrl_c_ends_the_command_s_child_processes(
    day: GameDay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def communicate(*_: object, **__: object) -> tuple[str, str]:
        """Wait until the command runs, then press Ctrl-C."""
        until((tmp_path / "pid").exists, "the command")
        raise KeyboardInterrupt

    monkeypatch.setattr(runbook_commands.subprocess.Popen, "communicate", communicate)
    with pytest.raises(KeyboardInterrupt):
        day.run_command(LASTS)
    until(lambda: is_gone(tmp_path), "the end of what it had started")
