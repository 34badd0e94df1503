"""A process without descriptors still answers the control plane, and its log stays readable."""

from __future__ import annotations

import contextlib
import re
import socket
from functools import partial
from pathlib import Path

from tests.support import raw_websocket
from tests.support.program import ROOT, process, program
from tests.support.shell import QCFEED, qcfeed, sound

FILES = 64


def test_an_attached_program_that_uses_all_descriptors_still_answers(tmp_path: Path) -> None:
    with program(tmp_path, "tests/assets/out_of_descriptors.py") as running:
        running.hear("used up")
        for _ in range(3):
            for command in ("status", "tasks", "tasks --by-location", "stacks", "orphans"):
                sound(partial(qcfeed, tmp_path, "--instance", "hog", *command.split()))
        done = qcfeed(tmp_path, "--instance", "hog", "orphans", "--reap")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in running.said


def test_a_service_with_few_descriptors_says_so_and_survives_a_flood(tmp_path: Path) -> None:
    command = ["sh", "-c", f'ulimit -n {FILES}; exec "$0" "$@"', QCFEED, "serve", "--port", "0"]
    options = ["--monitor-port", "0", "--monitor-web-port", "0", "--control-listen", "127.0.0.1:0"]
    with (
        process([*command, *options], tmp_path, cwd=ROOT) as running,
        contextlib.ExitStack() as held,
    ):
        running.hear("  monitor  telnet")
        assert f"only {FILES} open files are allowed" in running.said
        ports = [int(port) for port in re.findall(r"127\.0\.0\.1[: ](\d+)", running.said)]
        for port in sorted(set(ports)):
            for _ in range(FILES):
                held.enter_context(_connection(port))
        done = sound(partial(qcfeed, tmp_path, "status"))
        assert "not 10,000: too few open files are allowed" in done.stdout
        for command in (["subscribers"], ["feeds", "cancel", "--all", "--yes"], ["tasks"]):
            done = qcfeed(tmp_path, *command)
            assert done.returncode == 0, done.stderr
        assert f"only {FILES} open files allowed" in qcfeed(tmp_path, "doctor").stdout
        assert len(running.said.splitlines()) < 200
        assert "Traceback" not in running.said


def _connection(port: int) -> socket.socket:
    """A connection that asks for quotes; on the other ports it is nonsense."""
    connection = socket.socket()
    connection.settimeout(1.0)
    with contextlib.suppress(OSError):  # it is refused or reset when the port is full
        connection.connect(("127.0.0.1", port))
        connection.sendall(raw_websocket.head("/quotes/AAPL"))
    return connection
