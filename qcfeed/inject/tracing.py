"""Stops a thread of a process for a moment, and thereby wakes it (ptrace(2)).

A thread that waits in ``epoll_wait`` returns from it when it is stopped and continued. Python then checks for a
pending script, and waits again. ``PTRACE_SEIZE`` and ``PTRACE_INTERRUPT`` send no signal, and only the tracer
notices the stop: no shell takes the job for stopped, no parent gets SIGCHLD, and the other threads keep
running. If the tracer is killed meanwhile, the kernel continues the thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator

STOP_TIMEOUT_S = 2.0
"""Seconds within which a thread must stop. One that waits for a disk cannot be interrupted."""

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_EVENT_STOP = 128
"""``PTRACE_EVENT_STOP``: the thread stopped because of the interrupt, not because of a signal."""
_WALL = 0x40000000
"""``__WALL`` of waitpid(2): wait for a thread of any kind."""
_POLL_S = 20e-6
"""Seconds between two checks whether the thread has stopped. waitpid has no timeout."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


@contextlib.contextmanager
def stopped(thread: int) -> Iterator[None]:
    """Stop a thread until the end of the block, then continue it. A process's number is its main thread's.

    The stop itself takes 0.1 to 1 ms, during which the thread does not run.
    Raises PermissionError if it may not be traced, ProcessLookupError if it has ended, and TimeoutError
    if it does not stop.
    """
    _ptrace(_SEIZE, thread)
    signal = 0
    try:
        _ptrace(_INTERRUPT, thread)
        signal = _signal_at_stop(thread)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            _ptrace(_DETACH, thread, signal)


def wake(thread: int) -> None:
    """Wake a thread from a wait for events. Raises what ``stopped`` does."""
    with stopped(thread):
        pass


def _signal_at_stop(thread: int) -> int:
    """Wait until the thread has stopped; returns the signal that it was about to receive, or 0.

    The signal must be passed on when the thread is continued, or the program loses it."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while True:
        found, status = os.waitpid(thread, _WALL | os.WNOHANG)
        if found:
            break
        if time.monotonic() > deadline:
            raise TimeoutError(f"thread {thread} cannot be interrupted")
        time.sleep(_POLL_S)
    if not os.WIFSTOPPED(status):
        raise ProcessLookupError(f"thread {thread} has ended")
    return 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status)


def _ptrace(request: int, thread: int, data: int = 0) -> None:
    if _libc.ptrace(request, thread, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
