"""What a module's tests leave behind in their process: child processes and threads of qcfeed."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil

KEPT = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Helpers of the standard library, which end with the process."""


def children() -> set[int]:
    """The process ids of this process's children, also of those that have ended and were not waited for.

    Cost: one file of /proc per thread, 20 microseconds each. Empty where Linux has no such file.
    """
    found: set[int] = set()
    for thread in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(map(int, thread.read_text().split()))
        except OSError:  # the thread has ended
            continue
    return found


def threads() -> set[threading.Thread]:
    """The threads of qcfeed that run in this process."""
    return {each for each in threading.enumerate() if each.name.startswith("qcfeed")}


def described(pid: int) -> str | None:
    """The process and its command line; None if it may stay."""
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline()) or f"{process.name()} ({process.status()})"
    except psutil.NoSuchProcess:
        return None
    return None if any(name in command for name in KEPT) else f"process {pid}: {command}"
