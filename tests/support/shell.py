"""The installed ``qcfeed`` as a person has it: whole processes, in directories of their own."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.patience import PATIENCE

QCFEED = Path(sys.executable).with_name("qcfeed")

TERMINAL = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
"""What would overrule the terminal that a test gives; readline sets the last two for xdist's workers."""


def untraced() -> dict[str, str]:
    """This environment without asyncio's debug mode and coverage.py, which a process would show or pay for."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONASYNCIODEBUG" and not name.startswith("COVERAGE_")
    }


def environment(home: Path) -> dict[str, str]:
    """A user whose sockets, state and configuration are under ``home``; without asyncio's debug mode."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONASYNCIODEBUG"
        and not name.startswith(("QCFEED_", "XDG_"))
        and name not in TERMINAL
    }
    path = f"{QCFEED.parent}{os.pathsep}{kept.get('PATH', '')}"
    homes = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME")
    # No pager: on a terminal it would wait for a key.
    own = {"PATH": path, "HOME": str(home), "QCFEED_PAGER": ""}
    return kept | own | dict.fromkeys(homes, str(home))


def qcfeed(home: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """One command, piped, to its end."""
    return subprocess.run(
        [QCFEED, *args],
        env=environment(home) | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )


def sound(
    command: Callable[[], subprocess.CompletedProcess[str]],
) -> subprocess.CompletedProcess[str]:
    """The command's output once it finds nothing: a busy machine may hold a loop up for a second."""
    left = command()

    def healthy() -> bool:
        nonlocal left
        left = command() if left.returncode else left
        return left.returncode == 0

    try:
        until(healthy, "a sound service")
    except AssertionError as error:
        error.add_note(left.stdout + left.stderr)
        raise
    return left


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for ``condition``, at most PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.02)


class Serving:
    """A running ``qcfeed serve``: its talk, and where it takes WebSocket connections."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.talk: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)

    def hear(self, words: str) -> str:
        """The next line of its talk that holds ``words``."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            self.talk.append(line)
            if words in line:
                return line

    @property
    def url(self) -> str:
        """``ws://HOST:PORT``"""
        [line] = [line for line in self.talk if line.startswith("  quotes ")]
        return line.split()[1].partition("/quotes")[0]

    def end(self, signal_number: int = signal.SIGTERM) -> int:
        """Signal it and wait; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal_number)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while not self._lines.empty():
            self.talk.append(self._lines.get())
        return status


@contextlib.contextmanager
def serving(home: Path, *args: str, before: tuple[str, ...] = ()) -> Iterator[Serving]:
    """``qcfeed serve --port 0`` on loopback until the end of the block."""
    process = subprocess.Popen(
        [QCFEED, *before, "serve", "--port", "0", *args],
        env=environment(home),
        stderr=subprocess.PIPE,
        text=True,
    )
    service = Serving(process)
    try:
        service.hear("control ")
        yield service
    finally:
        service.end()
        assert process.stderr is not None
        process.stderr.close()
