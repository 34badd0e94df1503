"""File descriptors held in advance, so that a part that must answer still can when the process has none left."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""Errors of a process or machine that has no descriptor or memory left for now."""


_ResultT = TypeVar("_ResultT")


class Reserve:
    """``count`` descriptors that are opened in advance and given up one by one. From any thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: list[int] = []
        self._lock = threading.Lock()
        self.refill()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def is_full(self) -> bool:
        return len(self._held) >= self._count

    def attempt(self, call: Callable[[], _ResultT]) -> _ResultT:
        """Call ``call``; again with one descriptor more, as often as it fails for lack of one.

        Another thread may take a descriptor that is given up, so one is not always enough.
        """
        while True:
            try:
                return call()
            except OSError as error:
                if error.errno not in OUT_OF_RESOURCES or not self.release():
                    raise

    def release(self) -> bool:
        """Close one of the descriptors, so that another can be opened; False if none is left."""
        with self._lock:
            if not self._held:
                return False
            os.close(self._held.pop())
            return True

    def refill(self) -> bool:
        """Open descriptors again until ``count`` are held; False if the process may not open as many."""
        with self._lock, contextlib.suppress(OSError):
            while len(self._held) < self._count:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        return self.is_full

    def close(self) -> None:
        with self._lock:
            self._count = 0
            while self._held:
                os.close(self._held.pop())


def limit() -> int:
    """How many descriptors this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft


def in_use() -> int | None:
    """How many descriptors this process has open; None where the system does not say."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1  # one is the directory itself
    except OSError:
        return None
