from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from qcfeed.errors import NotAllowedError, UnreachableError, UsageError
from qcfeed.inject import process
from tests.support.shell import until


@pytest.mark.parametrize(
    ("scope", "is_capable", "words", "hint"),
    [
        ("1", False, "ptrace_scope is 1, which allows it to root alone", "sudo"),
        ("2", False, "ptrace_scope is 2, which allows it to root alone", "sudo"),
        ("3", True, "forbids it to everybody until a reboot", "qcfeed.attach(...)"),
        ("0", False, "lacks CAP_SYS_PTRACE", "--cap-add SYS_PTRACE"),
        ("", False, "lacks CAP_SYS_PTRACE", "--cap-add SYS_PTRACE"),
        ("", True, "a security module or the container's seccomp profile", "dmesg"),
        ("1", True, "a security module or the container's seccomp profile", "dmesg"),
    ],
)
def test_the_kernel_s_refusal_is_explained_by_its_setting(
    scope: str, is_capable: bool, words: str, hint: str
) -> None:
    error = process.refusal_of_scope(7, scope, is_capable=is_capable)
    assert isinstance(error, NotAllowedError)
    assert words in error.message
    assert hint in (error.hint or "")


def test_a_thread_is_not_taken_for_its_process() -> None:
    started, end = threading.Event(), threading.Event()
    numbers: list[int] = []

    def run() -> None:
        numbers.append(threading.get_native_id())
        started.set()
        end.wait()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        started.wait()
        with pytest.raises(UsageError, match=f"is a thread of process {os.getpid()}"):
            process.target(numbers[0])
    finally:
        end.set()
        thread.join()


def test_a_process_that_has_ended_and_is_not_joined_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as ended:
        assert ended.stdout is not None
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(UnreachableError, match="has ended"):
            process.target(ended.pid)


def test_a_command_line_is_shown_without_what_could_move_the_cursor() -> None:
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)", "\x1b[2J"]
    with subprocess.Popen(sleeping) as other:
        try:
            expected = "-c import time; time.sleep(600) ?[2J"
            until(lambda: process.command(other.pid) == expected, "its command line")
        finally:
            other.kill()
    assert process.command(4_000_000_000) == "?"
