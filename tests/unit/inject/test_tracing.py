from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from qcfeed.inject import tracing
from tests.support.attachable import require_tracing
from tests.support.patience import PATIENCE

# Signals are sent with os.kill: Popen.send_signal() calls waitpid(), which takes the news of a stop away
# from the tracer, because both are in one process here.
ECHO = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"+"))
os.write(1, b"r")
while True:
    time.sleep(0.001)
"""


@pytest.fixture
def echo() -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes a byte for each SIGUSR1."""
    require_tracing()
    with subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE) as process:
        try:
            assert heard(process) == b"r"
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
    return os.read(process.stdout.fileno(), 1) if ready else b""


def test_no_signal_is_lost_that_arrives_while_a_process_is_woken(
    echo: subprocess.Popen[bytes],
) -> None:
    # A tracer is told of a signal before the process gets it, and could swallow it.
    for _ in range(100):
        with tracing.stopped(echo.pid):
            os.kill(echo.pid, signal.SIGUSR1)
        tracing.wake(echo.pid)
        assert heard(echo) == b"+"


def test_no_signal_is_lost_while_another_thread_wakes_all_the_time(
    echo: subprocess.Popen[bytes],
) -> None:
    end = threading.Event()

    def wake() -> None:
        while not end.wait(0.0005):
            tracing.wake(echo.pid)

    waker = threading.Thread(target=wake)
    waker.start()
    try:
        for _ in range(100):
            os.kill(echo.pid, signal.SIGUSR1)
            assert heard(echo) == b"+"
    finally:
        end.set()
        waker.join()


def test_a_process_goes_on_after_its_tracer_was_killed(echo: subprocess.Popen[bytes]) -> None:
    code = (
        "import sys, time; from qcfeed.inject import tracing\n"
        f"with tracing.stopped({echo.pid}):\n"
        "    print('stopped', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as tracer:
        try:
            assert tracer.stdout is not None
            assert tracer.stdout.readline() == b"stopped\n"
            os.kill(echo.pid, signal.SIGUSR1)
        finally:
            tracer.kill()
    assert heard(echo) == b"+"


def test_what_has_ended_or_may_not_be_traced_is_an_error(echo: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ProcessLookupError):
        tracing.wake(4_000_000)
    with tracing.stopped(echo.pid), pytest.raises(PermissionError):
        tracing.wake(echo.pid)
