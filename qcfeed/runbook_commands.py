"""Runs a command of a runbook in a shell, as a person would type it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

QCFEED = (sys.executable, "-m", "qcfeed")
"""The program itself: the one that runs, not another one that the PATH may have."""


class CommandResult(NamedTuple):
    """The result of a command. ``output``: stdout and stderr together, as on a terminal.

    ``status``: its exit status; None if it was ended because it took too long.
    """

    status: int | None
    output: str


def run(
    command: str,
    *,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> CommandResult:
    """Run a command of a page for at most ``timeout`` seconds.

    All processes that it has started are killed at the end, also on Ctrl-C.
    """
    with subprocess.Popen(  # noqa: S602 - runbook commands are shell commands, shipped with qcfeed
        command.replace("qcfeed", shlex.join(QCFEED), 1),
        shell=True,
        env=environment,
        cwd=directory,
        text=True,
        errors="backslashreplace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as shell:
        try:
            output = shell.communicate(timeout=timeout)[0]
            return CommandResult(shell.returncode, output)
        except subprocess.TimeoutExpired:
            return CommandResult(None, f"no answer within {timeout:g} s")
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
