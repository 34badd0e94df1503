"""Runs the shell commands of a page, as a reader types them, in a directory that is empty at first."""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from qcfeed.runbook_pages import acts, difference, steps
from tests.docs import plan
from tests.docs.snippets import ROOT, Snippet
from tests.support.cli_parser import parse
from tests.support.examples import arguments
from tests.support.patience import PATIENCE
from tests.support.program import Program, process
from tests.support.shell import QCFEED, environment

_STARTS = re.compile(
    r"(?:qcfeed (?:--\S+ \S+ )*(serve|feeder)|make (serve)|(prometheus)|python (\w+\.py))\b"
)
"""Commands that run until they are stopped; the group says of what kind."""
_GLOBAL = re.compile(r"^qcfeed (?:--\S+ \S+ )+")
_BASH = ("bash", "-euo", "pipefail", "-c")


class Session:
    """The terminals of one page. What its commands start runs until another of its kind, or the end."""

    def __init__(self, page: str, home: Path, replaced: Mapping[str, str]) -> None:
        self._page = page
        self._home = home
        self._replaced: dict[str, str] = {**plan.REPLACED, **replaced}
        self._running: dict[str, tuple[Program, contextlib.ExitStack]] = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            for program, _stack in self._running.values():
                error.add_note(program.said[-2000:])
        for kind_of in list(self._running):
            self._end(kind_of)

    def run(self, snippet: Snippet) -> None:
        """Every command of a ``console`` or ``sh`` block. Raises AssertionError."""
        if snippet.language == "console":
            for step in steps(f"```console\n{snippet.text}```\n"):
                self._command(snippet, step.command, step.expected)
        else:
            for line in lines(snippet.text):
                self._command(snippet, line, None)

    def replace(self, text: str) -> str:
        """The text with the addresses, paths and amounts of this session in place of the page's."""
        for usual, here in self._replaced.items():
            text = text.replace(usual, here)
        return text

    def _command(self, snippet: Snippet, command: str, expected: str | None) -> None:
        if plan.excused(self._page, command):
            check_options(command)
            return
        command = self.replace(command)
        if starts := _STARTS.match(command):
            self._start(command, next(filter(None, starts.groups())))
        elif command.startswith("make "):
            made(command)
        elif expected and expected.strip():
            self._shows(snippet, command, expected)
        else:
            status, output = self._typed(command)
            fine = (0, 1) if "qcfeed" in command else (0,)
            assert status in fine, f"{snippet}: {command}\nexit status {status}\n{output}"

    def _shows(self, snippet: Snippet, command: str, expected: str) -> None:
        """A command that acts is typed once; another one until it shows what the page says."""
        expected = self.replace(expected)
        compare = plan.same_lines if self._page in plan.RECORDED else difference
        once = command.startswith("qcfeed ") and acts(_GLOBAL.sub("qcfeed ", command))
        deadline = time.monotonic() + (0 if once else plan.patience(self._page))
        while wrong := compare(expected, self._typed(command)[1]):
            assert time.monotonic() < deadline, f"{snippet}: {command}\n{wrong}"

    def _typed(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            [*_BASH, command], env=environment(self._home), cwd=self._home, text=True,
            timeout=3 * PATIENCE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.returncode, done.stdout

    def _start(self, command: str, kind: str) -> None:
        """Start it in the background, on ports from the kernel, and wait until it is ready."""
        if command.startswith("make "):
            command = made(command).replace(".venv/bin/qcfeed", str(QCFEED))
        if kind == "prometheus":
            command += " --web.listen-address=127.0.0.1:0"
        if kind == "serve":
            command = re.sub(r"(--admin-listen [\d.]+:)\d+", r"\g<1>0", plain(command))
            command = re.sub(r" --port \d+", "", command) + " --port 0"
        self._end(kind)
        stack = contextlib.ExitStack()
        program = stack.enter_context(
            process([*_BASH, f"exec {command.removeprefix('exec ')}"], self._home, cwd=self._home)
        )
        self._running[kind] = program, stack
        if kind in ("serve", "feeder"):
            program.hear("  control")
        if kind == "serve":
            address = re.search(r"//(127\.0\.0\.1:\d+)/", program.said)
            assert address, program.said
            self._replaced["127.0.0.1:8006"] = address[1]
        if kind == "prometheus":
            listening = program.hear('msg="Listening on"').rpartition("address=")[2]
            self._replaced["127.0.0.1:9090"] = listening.strip()

    def _end(self, kind: str) -> None:
        if kind in self._running:
            program, stack = self._running.pop(kind)
            with stack:
                program.end(signal.SIGINT)


def lines(text: str) -> list[str]:
    """The commands of an ``sh`` block; a backslash joins lines."""
    joined = text.replace("\\\n", " ").splitlines()
    return [line for line in joined if line.strip() and not line.startswith("#")]


def plain(command: str) -> str:
    """The command without its comment."""
    return re.sub(r"\s+# .*$", "", command)


def made(command: str) -> str:
    """What make would execute last. Raises AssertionError if there is no such target."""
    done = subprocess.run(
        [*_BASH, command.replace("make ", "make --dry-run --no-print-directory ", 1)],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert "Nothing to be done" not in done.stdout, f"{command}: a file, and no target"
    return done.stdout.strip().splitlines()[-1]


def check_options(command: str) -> None:
    """Check that ``qcfeed`` takes this command line, although it is not run. Raises UsageError."""
    if "qcfeed" in shlex.split(command, comments=True)[:1]:
        parse(arguments(command))
