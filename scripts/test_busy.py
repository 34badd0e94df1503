"""Run all tests repeatedly on a busy machine, with the files in random order.

make test-busy                             # five rounds beside four busy processes
make test-busy SEED=8312 ROUNDS=1 ARGS=-x  # repeat the first round of that seed
make test-busy FILES=tests/unit            # a part of the tests
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent

# The process also ends by itself when its parent was killed.
COMPUTE = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    sum(range(100_000))
"""
GRACE = 10.0
"""Seconds until a busy process that does not end is killed."""


@dataclass(frozen=True)
class Round:
    """The result of one run of pytest."""

    status: int
    passed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    """Unique test ids; a test can fail twice, in its body and in its teardown."""

    @property
    def good(self) -> bool:
        return self.status == 0 and self.passed > 0 and not self.failures

    def __str__(self) -> str:
        counts = f"{self.passed} passed, {self.skipped} skipped, {len(self.failures)} failed"
        return counts if self.good or self.failures else f"{counts}; pytest exited {self.status}"


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep ``count`` processes computing until the block ends, also after an error."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            # In a separate process group, so that Ctrl-C reaches this process only.
            command = [sys.executable, "-c", COMPUTE, str(os.getpid())]
            processes.append(subprocess.Popen(command, start_new_session=True))
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            _join(process)


def _join(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def files_in(paths: Sequence[str]) -> list[str]:
    """Every test file in ``paths``, in the same order on every machine."""
    found: set[Path] = set()
    for path in map(Path, paths):
        found.update(path.rglob("test_*.py") if path.is_dir() else [path])
    return sorted(map(str, found))


def run_suite(files: Sequence[str], arguments: Sequence[str]) -> Round:
    """Run pytest on ``files`` in the order given."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "junit.xml"
        options = ["-o", "junit_family=xunit1", f"--junitxml={report}"]  # xunit1 names the file
        command = [sys.executable, "-m", "pytest", *options, *arguments, *files]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        return read_report(report, status) if report.exists() else Round(status)


def read_report(report: Path, status: int) -> Round:
    """The round in a JUnit report (xunit1)."""
    failures: dict[str, None] = {}
    passed = skipped = 0
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failures[f"{case.get('file', case.get('classname'))}::{case.get('name')}"] = None
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return Round(status, passed, skipped, list(failures))


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    seed = random.SystemRandom().randrange(10_000) if options.seed is None else options.seed
    files, rounds = files_in(options.files), []
    order = random.Random(seed)
    for number in range(1, options.rounds + 1):
        order.shuffle(files)
        print(f"round {number} of {options.rounds}, SEED={seed}, BUSY={options.busy}", flush=True)
        started = time.monotonic()
        with busy_processes(options.busy):
            result = run_suite(files, shlex.split(options.pytest))
        rounds.append((number, result, time.monotonic() - started))
    print(f"\nSEED={seed}")
    for number, result, took in rounds:
        print(f"round {number}: {result} in {took:.0f} s")
        for test in result.failures:
            print(f"  {test}")
    return 0 if all(result.good for _, result, _ in rounds) else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run all tests on a busy machine.")
    parser.add_argument("files", nargs="*", default=["tests"], help="test files and directories")
    parser.add_argument("--rounds", type=int, default=5, help="number of runs")
    parser.add_argument(
        "--busy", type=int, default=4, help="processes that compute at the same time"
    )
    parser.add_argument("--seed", type=int, help="repeat the order of this seed")
    parser.add_argument("--pytest", default="", help="more arguments for pytest, in one string")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up as after Ctrl-C
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
