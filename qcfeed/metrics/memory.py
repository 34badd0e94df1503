"""The memory of the process, and its limit."""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_MAX_DIGITS = 20
"""Digits of a limit that is read: 2**64 has as many."""
_UNLIMITED = 1 << 60
"""cgroup v1 says "no limit" as a number near 2**63."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The bytes of memory at which the kernel kills the process, and where that limit comes from."""

    bytes: int
    source: str


_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Statm:
    """The kernel's figures of this process (proc(5)).

    ``keep`` leaves the file open, so that they can be read when no descriptor is free.
    """

    def __init__(self) -> None:
        self._kept: int | None = None
        self._lock = threading.Lock()
        # A forked child inherits the open file, which still has the figures of the parent.
        os.register_at_fork(after_in_child=self._forget)

    def pages(self) -> list[int]:
        """Numbers of pages: the address space, resident, resident of files and shared memory, and more."""
        with self._lock:
            if self._kept is not None:
                return _pages(self._kept)
        descriptor = _open_statm()
        try:
            return _pages(descriptor)
        finally:
            os.close(descriptor)

    def keep(self) -> None:
        with self._lock:
            if self._kept is None:
                self._kept = _open_statm()

    def release(self) -> None:
        with self._lock:
            if self._kept is not None:
                os.close(self._kept)
                self._kept = None

    def _forget(self) -> None:
        self._lock = threading.Lock()  # another thread may have held it
        self.release()


def _open_statm() -> int:
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


def _pages(descriptor: int) -> list[int]:
    return list(map(int, os.pread(descriptor, 256, 0).split()))


_statm = _Statm()


def resident() -> int:
    """Resident memory of this process, in bytes."""
    return _statm.pages()[1] * _PAGE


def shared() -> int:
    """Resident memory of this process that belongs to files, such as libraries, or is shared, in bytes."""
    return _statm.pages()[2] * _PAGE


def prepare() -> None:
    """Read everything once, so that later no further descriptor is needed. Raises OSError."""
    _statm.keep()
    started()
    limit()


def release() -> None:
    """Close the file that ``prepare`` keeps open. Afterwards each reading opens it again."""
    _statm.release()


@functools.lru_cache(maxsize=1)
def started() -> float:
    """When this process started, in Unix seconds."""
    return float(psutil.Process().create_time())


_lowered: MemoryLimit | None = None


def limit() -> MemoryLimit:
    """The smallest limit that applies to this process: cgroup v2, cgroup v1 or the machine's memory.

    It is read once. A limit that changes while the process runs is seen after a restart.
    """
    real = _real_limit()
    lowered = _lowered
    return real if lowered is None or lowered.bytes >= real.bytes else lowered


def lower(to: MemoryLimit | None) -> None:
    """Report a lower limit than the real one, so that approaching it can be rehearsed; None resets it."""
    global _lowered
    _lowered = to


@functools.lru_cache(maxsize=1)
def _real_limit() -> MemoryLimit:
    return find_limit(Path("/proc/self/cgroup"), _CGROUPS, int(psutil.virtual_memory().total))


def find_limit(membership: Path, root: Path, machine: int) -> MemoryLimit:
    """Like ``limit``, for the process whose ``/proc/PID/cgroup`` is ``membership``.

    A group is limited by its ancestors too, so every level up to ``root`` is read
    (Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
    """
    try:
        lines = os.fsdecode(membership.read_bytes()).splitlines()
    except OSError:
        return MemoryLimit(machine, "machine")
    found = [MemoryLimit(machine, "machine")]
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/") or "\0" in path:
            continue  # not of the form that the kernel's documentation gives
        if number == "0":
            found += _levels(root, path, "memory.max", "cgroup v2")
        elif "memory" in controllers.split(","):
            found += _levels(root / "memory", path, "memory.limit_in_bytes", "cgroup v1")
    return min(found, key=lambda each: each.bytes)


def _levels(root: Path, path: str, name: str, source: str) -> list[MemoryLimit]:
    parts = Path(path).parts[1:]
    found = []
    for depth in range(len(parts) + 1):
        try:
            text = root.joinpath(*parts[:depth], name).read_bytes().strip()
        except OSError:
            continue
        if text.isdigit() and len(text) <= _MAX_DIGITS and int(text) < _UNLIMITED:
            found.append(MemoryLimit(int(text), source))
    return found
