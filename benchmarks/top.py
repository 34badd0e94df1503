"""Cost of `qcfeed top` for its user and for the observed service, with the incident's 47,829 tasks.

Start-up time is a ratio to `python -c "import typer"`, in interleaved runs. Stalls of the service's loop
are those that its answers report.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import itertools
import json
import os
import platform
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import files
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serving import QCFEED, Serving, serving
from qcfeed.cli.top.observer import ListTarget, Observer, ServiceSnapshot
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.observe.tracker import DIAGNOSIS_INTERVAL

ZOMBIES = 47_829
EVERY = 2.0
YARDSTICK = [sys.executable, "-c", "import typer"]
TEXTUAL = [sys.executable, "-c", "import textual.app, textual.widgets"]
SEEN = f"{ZOMBIES:,} orphaned".encode()
PATIENCE = 60.0
MB = 1e6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.top", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=10, help="number of starts, and of refreshes per list"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds of the continuous run")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    arguments = parser.parse_args()
    drill = ("--drill", f"zombie-feeds={ZOMBIES}")
    with (
        tempfile.TemporaryDirectory() as home,
        serving(home, "top", *drill, ready=f"{ZOMBIES} zombies are alive") as service,
    ):
        figures = {
            **_starts(service, arguments.rounds),
            **_looks(service, arguments.rounds),
            **_left_running(service, arguments.seconds),
            "Textual, installed, MB": sum(each.size or 0 for each in files("textual") or []) / MB,
        }
    print(f"{ZOMBIES:,} orphaned tasks, Python {platform.python_version()}")
    for name, value in figures.items():
        print(f"{name:40}{value:10.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


# ------------------------------------------------------------ from the command to the first figures


def _starts(service: Serving, rounds: int) -> dict[str, float]:
    took: dict[str, list[float]] = {"typer": [], "textual": [], "first figures": []}
    for warm in [False, *[True] * rounds]:
        for name, command in (("typer", YARDSTICK), ("textual", TEXTUAL)):
            begun = time.perf_counter()
            subprocess.run(command, env=service.environment, check=True)
            took[name].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        with _screen(service) as (_, wait):
            wait(SEEN)
            took["first figures"].append(time.perf_counter() - begun)
        if not warm:  # the first run writes the compiled files
            for each in took.values():
                each.clear()
    middle = {name: statistics.median(each) for name, each in took.items()}
    return {
        "import typer, ms": middle["typer"] * 1000,
        "import textual, x": middle["textual"] / middle["typer"],
        "first figures, x": middle["first figures"] / middle["typer"],
    }


@contextlib.contextmanager
def _screen(service: Serving) -> Iterator[tuple[psutil.Process, Any]]:
    """Run `qcfeed top` on an 80x24 terminal; yields its process and a function that waits for text."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [QCFEED, "--instance", service.instance, "top", "--every", str(EVERY)]
    environment = service.environment | {"TERM": "xterm-256color"}
    process = subprocess.Popen(
        command, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    os.close(its)
    os.set_blocking(ours, False)

    def wait(words: bytes = b"", seconds: float = PATIENCE) -> None:
        """Read the screen until it shows ``words``; without words, for a fixed time."""
        drawn, deadline = b"", time.monotonic() + seconds
        while not (words and words in drawn):
            if time.monotonic() > deadline:
                if words:
                    raise TimeoutError(f"{words!r} not within {seconds:g} s")
                return
            try:
                drawn += os.read(ours, 65_536)
            except BlockingIOError:
                time.sleep(0.002)

    try:
        yield psutil.Process(process.pid), wait
        os.write(ours, b"q")
    finally:
        with contextlib.suppress(OSError):  # the other end is closed
            while process.poll() is None:
                wait(seconds=0.05)
        process.wait(PATIENCE)
        os.close(ours)


# ------------------------------------------------------------ one refresh


class _Noting(ControlClient):
    """Keeps the longest stall of the service's loop during an answer, as the answer reports it."""

    stall_ms = 0.0

    def get(self, path: str, answer_type: Any, **params: Any) -> Any:
        answer = super().get(path, answer_type, **params)
        self.stall_ms = max(self.stall_ms, answer.loop_stall_ms)
        return answer


def _looks(service: Serving, rounds: int) -> dict[str, float]:
    """Measure a refresh with each list on screen, and one with a verdict. The first two refreshes are not
    counted; the second always has a verdict."""
    figures: dict[str, float] = {}
    for view in ("locations", "orphans", "findings"):
        client = _Noting(ControlAddress(socket=service.socket), timeout=PATIENCE)
        due = view == "findings"
        observer = Observer(partial(_same, client), clock=_always_due() if due else time.monotonic)
        target, took = ListTarget(view), []
        for _ in range(2):
            observer.refresh(target)
            time.sleep(0.1)
        gaps = []
        for _ in range(rounds):
            client.stall_ms = 0.0
            begun = time.perf_counter()
            found = observer.refresh(target)
            took.append(time.perf_counter() - begun)
            gaps.append(client.stall_ms)
            assert isinstance(found, ServiceSnapshot), found
        name = "a refresh with verdict" if due else f"a refresh, {view}"
        figures |= {
            f"{name}, ms": statistics.median(took) * 1000,
            f"{name}, gap, ms": statistics.median(gaps),
            f"{name}, longest gap, ms": max(gaps),
        }
    return figures


def _same(client: _Noting) -> ControlClient:
    return client


def _always_due() -> Callable[[], float]:
    """A clock on which a verdict is always due."""
    moments = itertools.count(0, DIAGNOSIS_INTERVAL)
    return lambda: float(next(moments))


# ------------------------------------------------------------ continuous run


def _left_running(service: Serving, seconds: float) -> dict[str, float]:
    serves = psutil.Process(service.pid)
    alone = _cpu(serves, lambda: time.sleep(seconds))
    with _screen(service) as (top, wait):
        wait(SEEN)
        before = _busy(top)
        watched = _cpu(serves, lambda: wait(seconds=seconds))
        its = (_busy(top) - before) / seconds
        memory = top.memory_info().rss / MB
    return {
        "top, % of a core": its * 100,
        "top, resident, MB": memory,
        "service without, % of a core": alone / seconds * 100,
        "service with top, % of a core": watched / seconds * 100,
    }


def _cpu(process: psutil.Process, meanwhile: Any) -> float:
    """Processor time of the process during the block, in seconds."""
    before = _busy(process)
    meanwhile()
    return _busy(process) - before


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    sys.exit(main())
