"""Somebody else's program, as a process of its own, with ``qcfeed.attach`` in it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.patience import PATIENCE
from tests.support.shell import environment, until

ROOT = Path(__file__).parents[2]


class Program:
    """A running one. ``said``: what it has written so far, to either stream."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    def hear(self, words: str) -> str:
        """Wait for the line that holds ``words``."""

        def spoken() -> bool:
            assert self.process.poll() is None, self.said
            return any(
                words in line for line in self.said.splitlines(keepends=True) if "\n" in line
            )

        until(spoken, f"{words!r} in {self._log}")
        return next(line for line in self.said.splitlines() if words in line)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def program(
    home: Path, *args: str, stdin: int = subprocess.DEVNULL, **variables: str
) -> Iterator[Program]:
    """``python ARGS`` in the project's directory until the end of the block."""
    with process([sys.executable, *args], home, cwd=ROOT, stdin=stdin, **variables) as running:
        yield running


@contextlib.contextmanager
def process(
    command: Sequence[str | Path],
    home: Path,
    *,
    cwd: Path,
    stdin: int = subprocess.DEVNULL,
    **variables: str,
) -> Iterator[Program]:
    """``command`` in ``cwd`` until the end of the block; its files are under ``home``."""
    log = home / f"{len(list(home.glob('*.log')))}.log"
    with log.open("wb") as output:
        started = subprocess.Popen(
            list(map(str, command)),
            env=environment(home) | {"PYTHONUNBUFFERED": "1"} | variables,
            cwd=cwd,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    running = Program(started, log)
    try:
        yield running
    finally:
        running.end(signal.SIGKILL)
