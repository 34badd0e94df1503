"""Judge one mutant at a time, with the tests of its part, in a copy of the project."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from scripts.mutants.sites import Mutant

PYTEST = ("-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider",
          "-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin",
          "-p", "qcfeed.pytest_plugin", "--hypothesis-seed=0", "--timeout=60")  # fmt: skip
"""Only the plugins that the tests of the parts use: to load all that are installed takes longer than
most of those tests. A seed for hypothesis, so that a mutant is judged by the same examples each time.
"""
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
TRIES = 3
"""Attempts when a test fails and then passes: on a busy machine, some tests fail sometimes."""
_UNUSABLE = {4: "pytest was called with invalid arguments", 5: "no test was collected"}


class Verdict(StrEnum):
    """The result of a mutant."""

    NOTICED = "noticed"
    SURVIVED = "survived"
    TIMED_OUT = "timed out"
    EQUIVALENT = "equivalent"


class Outcome(NamedTuple):
    """``by``: the first test that failed. ``seconds``: duration of the tests."""

    verdict: Verdict
    seconds: float
    by: str = ""


class BrokenError(Exception):
    """The tests cannot judge mutants: they fail without a mutant, or do not run."""


class Copy:
    """A copy of the project's files, in which mutants are applied and tests run."""

    def __init__(self, root: Path, package: str = "qcfeed", pytest: Sequence[str] = PYTEST) -> None:
        """``package``: the package that the tests import. Raises BrokenError if they import it from elsewhere."""
        self.root = root
        self._package = package
        self._pytest = pytest
        self._check_import()

    @classmethod
    def of(
        cls, project: Path, place: Path, package: str = "qcfeed", pytest: Sequence[str] = PYTEST
    ) -> Copy:
        """A copy of every file of ``project`` that git tracks or does not ignore."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=project, capture_output=True, check=True,
        )  # fmt: skip
        for name in listed.stdout.decode().split("\0"):
            if name and (project / name).is_file():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(project / name, place / name)
        return cls(place, package, pytest)

    def clone(self, place: Path) -> Copy:
        """Another copy of the same files, even if the project has changed since."""
        return Copy(shutil.copytree(self.root, place), self._package, self._pytest)

    def _check_import(self) -> None:
        """Check that the tests import this copy; otherwise every mutant would survive."""
        package = self._package
        shown = subprocess.run(
            [sys.executable, "-c", f"import {package}; print({package}.__file__)"],
            cwd=self.root, env=self._env(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        if not Path(shown.stdout.strip()).is_relative_to(self.root):
            raise BrokenError(f"the tests would import {shown.stdout.strip()}, not the copy")

    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(self.root),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }

    def baseline(self, tests: Sequence[str]) -> float:
        """Duration of the tests without a mutant, in seconds. Raises BrokenError if they always fail."""
        for _ in range(TRIES):
            status, seconds, output = self._run(tests, limit=900.0)
            if status == 0:
                return seconds
        raise BrokenError(f"the tests fail without any mutant:\n{output[-3000:]}")

    def judge(self, mutant: Mutant, tests: Sequence[str], limit: float) -> Outcome:
        """The outcome of the tests with this mutant, within ``limit`` seconds.

        It is noticed when a test fails, and again when it is run alone.
        """
        file = self.root / mutant.path
        own = self._own_tests(file.stem, tests)
        source = file.read_bytes()
        try:
            self._write(file, mutant.applied(source))
            for _ in range(TRIES):
                outcome = self._ask(own, limit) if own else None
                if outcome is None or outcome.verdict is Verdict.SURVIVED:
                    outcome = self._ask(tests, limit)
                if outcome.verdict is not Verdict.NOTICED or self._again(outcome.by, limit):
                    return outcome
            return Outcome(Verdict.SURVIVED, outcome.seconds, "failed only sometimes")
        finally:
            self._write(file, source)

    def _own_tests(self, module: str, tests: Sequence[str]) -> list[str]:
        """The tests of the changed module itself, which are run first: most mutants are noticed by them."""
        name = f"test_{module}*.py"
        found = [each for each in tests if Path(each).match(name)]
        for each in tests:
            found += [str(path.relative_to(self.root)) for path in (self.root / each).rglob(name)]
        return found

    def _ask(self, tests: Sequence[str], limit: float) -> Outcome:
        status, seconds, output = self._run(tests, limit)
        if status is None:
            return Outcome(Verdict.TIMED_OUT, seconds)
        if status in _UNUSABLE:
            raise BrokenError(f"{_UNUSABLE[status]}: {' '.join(tests)}\n{output[-3000:]}")
        if status == 0:
            return Outcome(Verdict.SURVIVED, seconds)
        by = _FAILED.search(output)
        return Outcome(Verdict.NOTICED, seconds, by.group(1) if by else output[-200:].strip())

    def _again(self, test: str, limit: float) -> bool:
        """Whether the failed test fails again. A failure outside a test (an import, the run itself) counts."""
        return "::" not in test or self._run([test], limit)[0] != 0

    def _write(self, file: Path, source: bytes) -> None:
        file.write_bytes(source)
        # Python compares compiled files by size and time in seconds, and a mutant can have the same.
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            compiled.unlink()
        shutil.rmtree(self.root / ".hypothesis", ignore_errors=True)

    def _run(self, tests: Sequence[str], limit: float) -> tuple[int | None, float, str]:
        began = time.monotonic()
        # In a separate session, so that the child processes of a hung test end with it.
        process = subprocess.Popen(
            [sys.executable, *self._pytest, *tests], cwd=self.root, env=self._env(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=limit)
            status: int | None = process.returncode
        except subprocess.TimeoutExpired:
            status, output = None, b""
        finally:
            _end_group(process)
        return status, time.monotonic() - began, output.decode(errors="replace")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
