"""A program that has never heard of qcfeed, on a Python that can be attached to, as a process of its own."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import interpreters
import pytest

from tests.support.patience import PATIENCE
from tests.support.program import ROOT
from tests.support.shell import environment

OLDEST = "3.14"
SOURCE = ROOT / "tests" / "assets" / "attachable_program.py"
SPAWN_LINE = next(
    number
    for number, line in enumerate(SOURCE.read_text().splitlines(), 1)
    if line.strip().startswith("held.add(asyncio.create_task(")
)
"""The line at which the program creates a task when it is told to."""


def python() -> str:
    """A Python that can be attached to, with qcfeed's packages; else the test is skipped."""
    if sys.version_info >= interpreters.number(OLDEST):
        return sys.executable
    for version in interpreters.supported():
        candidate = ROOT / f".venv-{version}" / "bin" / "python"
        if interpreters.number(version) >= interpreters.number(OLDEST) and candidate.exists():
            return str(candidate)
    pytest.skip(f"needs Python {OLDEST} or later: `make test-versions` makes .venv-{OLDEST}")


def require_tracing() -> None:
    """Skip the test where processes may not trace each other."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() and scope.exists() and scope.read_text().strip() != "0":
        pytest.skip("kernel.yama.ptrace_scope forbids tracing")


def qcfeed(home: Path, *args: str, on: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """``qcfeed ARGS`` on the Python ``on``."""
    return subprocess.run(
        [on, "-m", "qcfeed", *args],
        env=environment(home) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        cwd=home,
        **how,
    )


class Attachable:
    """The running program."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def tell(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()

    def ask(self, words: str = "state") -> dict[str, Any]:
        """Its state after it has done what it is told."""
        self.tell(words)
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))


@functools.cache
def _without_packages(on: str) -> str:
    """The interpreter that the virtual environment was made from."""
    code = "import sys; print(sys._base_executable)"
    return subprocess.run(
        [on, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@contextlib.contextmanager
def attachable(
    home: Path,
    on: str,
    *words: str,
    options: tuple[str, ...] = (),
    uid: int | None = None,
    **variables: str,
) -> Iterator[Attachable]:
    """The program until the end of the block. ``words``: ``uvloop``, ``eager``, ``no-loop``."""
    require_tracing()
    if "uvloop" in words:  # which is installed beside qcfeed
        variables["PYTHONPATH"] = str(ROOT)
    else:
        on = _without_packages(on)
    own = {name: text for name, text in environment(home).items() if name != "PYTHONPATH"}
    with (home / "program.log").open("w") as log:
        process = subprocess.Popen(
            [on, *options, str(SOURCE), *words],
            env=own | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=home,
            user=uid,
            group=uid,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n", (home / "program.log").read_text()
        yield Attachable(process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(PATIENCE)
        process.stdin.close()
        process.stdout.close()
    assert (home / "program.log").read_text() == ""  # nothing was raised into it, nor logged
