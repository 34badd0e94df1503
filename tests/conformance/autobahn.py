"""Runs Autobahn's TestSuite (scripts/autobahn.py installs it) and reads its results."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
WSTEST = ROOT / ".tools/autobahn/wstest"
needs_wstest = pytest.mark.skipif(
    not WSTEST.exists(), reason="Autobahn's TestSuite is not installed (scripts/autobahn.py)"
)
FAILED = frozenset(("FAILED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"))


@dataclass(frozen=True, slots=True)
class Result:
    """One case: Autobahn's judgement of the conversation and of its end."""

    case: str
    behavior: str
    at_the_end: str

    @property
    def category(self) -> str:
        return self.case.partition(".")[0]

    @property
    def failed(self) -> bool:
        return bool(FAILED & {self.behavior, self.at_the_end})

    @property
    def ran(self) -> bool:
        return self.behavior != "UNIMPLEMENTED"


def against_the_server(
    cases: Sequence[str], directory: Path, timeout: float, excluded: Sequence[str] = ()
) -> list[Result]:
    """Run the fuzzing client against an echo server of the service's own parts."""
    with _running([sys.executable, "-m", "tests.conformance.echo_server"], directory) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        agent = {"agent": "qcfeed", "url": f"ws://127.0.0.1:{port}/stream?compress=1"}
        spec = _write_spec(directory, cases, excluded, servers=[agent])
        command = [WSTEST, "--mode", "fuzzingclient", "--spec", spec]
        with (directory / "wstest.log").open("w") as log:
            subprocess.run(
                command, stdout=log, stderr=log, cwd=directory, timeout=timeout, check=True
            )
    return _read(directory)


def against_the_client(
    cases: Sequence[str], directory: Path, timeout: float, excluded: Sequence[str] = ()
) -> list[Result]:
    """Run an echo client of `watch`'s parts against the fuzzing server."""
    url = f"ws://127.0.0.1:{_free_port()}"
    spec = _write_spec(directory, cases, excluded, url=url)
    command = [WSTEST, "--mode", "fuzzingserver", "--spec", spec, "--webport", "0"]
    with _running(command, directory) as server:
        _wait_until_listening(server, timeout)
        client = [sys.executable, "-m", "tests.conformance.echo_client", url]
        subprocess.run(client, cwd=ROOT, timeout=timeout, check=True)
    return _read(directory)


def _write_spec(
    directory: Path, cases: Sequence[str], excluded: Sequence[str], **more: object
) -> Path:
    spec = directory / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "outdir": str(directory),
                "cases": list(cases),
                "exclude-cases": list(excluded),
                "exclude-agent-cases": {},
                **more,
            }
        )
    )
    return spec


def _read(directory: Path) -> list[Result]:
    (judged,) = json.loads((directory / "index.json").read_text()).values()
    return [
        Result(case, each["behavior"], each["behaviorClose"])
        for case, each in sorted(judged.items(), key=lambda item: _numbers(item[0]))
    ]


def _numbers(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


@contextlib.contextmanager
def _running(command: Sequence[object], directory: Path) -> Iterator[subprocess.Popen[str]]:
    with (directory / "server.log").open("w") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE if command[0] == sys.executable else log,
            stderr=log,
            cwd=ROOT,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.terminate()


def _free_port() -> int:
    # The suite compares the Host header with the port in its specification, so it cannot be 0.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_listening(server: subprocess.Popen[str], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while server.poll() is None and time.monotonic() < deadline:
        if any(
            each.status == psutil.CONN_LISTEN
            for each in psutil.Process(server.pid).net_connections("tcp")
        ):
            return
        time.sleep(0.05)
    raise AssertionError(f"wstest does not listen (status {server.poll()})")
