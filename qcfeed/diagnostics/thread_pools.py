"""The thread pools of the process: which one a call waits in, and what its threads do.

A pool is full if all of its threads are busy and calls are queued. The awaiting tasks then wait for
the calls that occupy the threads.
"""

# ruff: noqa: SLF001 - concurrent.futures does not expose its threads and queues.

from __future__ import annotations

import concurrent.futures.thread
import gc
import sys
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from qcfeed.diagnostics.code_origin import is_library
from qcfeed.diagnostics.site import short_path

_POOL_FILE = "concurrent/futures/thread.py"
_WORKER = concurrent.futures.thread._worker.__code__
"""The function in which a thread waits for its next call."""
_QUEUED = 10_000
"""Queued calls of a pool that are searched for a future, if several pools have a queue."""


@dataclass(slots=True)
class ThreadPool:
    """A pool at one moment. ``threads``: those that have been started, ``busy`` of them ran a call.

    ``others_busy``: whether a call ran in a thread other than the one that reads this. ``executor`` is
    the pool itself, so keep this only briefly.
    """

    executor: ThreadPoolExecutor
    threads: list[threading.Thread] = field(default_factory=list)
    busy: int = 0
    others_busy: bool = False
    _queued: set[int] | None = None

    @property
    def size(self) -> int:
        """How many threads it may have."""
        return self.executor._max_workers

    @property
    def queued(self) -> int:
        """Calls that wait for a thread."""
        return self.executor._work_queue.qsize()

    @property
    def is_full(self) -> bool:
        """Whether calls have to wait because every thread is busy."""
        return self.queued > 0 and len(self.threads) >= self.size

    @property
    def name(self) -> str:
        """The name of its threads without their number: ``asyncio`` for a loop's default executor."""
        return self.threads[0].name.rpartition("_")[0] if self.threads else ""

    def queued_futures(self) -> set[int]:
        """The futures of the first _QUEUED queued calls, by ``id()``."""
        if self._queued is None:
            # The queue is written in C and cannot be iterated over; the collector lists what it holds.
            items = gc.get_referents(self.executor._work_queue)
            if items and isinstance(items[0], list):  # up to Python 3.12
                items = items[0]
            self._queued = {id(getattr(item, "future", None)) for item in items[:_QUEUED]}
        return self._queued

    def describe(self) -> str:
        """``8 of 8 threads busy, 480 calls queued``."""
        return f"{self.busy} of {self.size} threads busy, {self.queued:,} calls queued"

    def at(self) -> str:
        """Where most of its threads are: ``file:line function``, and how many.

        Empty if no thread runs code in Python. Cost: 5 us per thread.
        """
        frames = sys._current_frames()
        counts = Counter(_place(frames.get(thread.ident or 0)) for thread in self.threads)
        counts.pop("", None)
        if not counts:
            return ""
        place, number = counts.most_common(1)[0]
        return f"{place} ({number} of {len(self.threads)} threads)"


def pools() -> list[ThreadPool]:
    """Every thread pool that has started a thread. From any thread.

    Cost: 1 us per thread of the process, and 1 us per thread of a pool.
    """
    found: dict[int, ThreadPool] = {}
    frames, this = sys._current_frames(), threading.get_ident()
    for thread in _pool_threads():
        # A pool's thread has a weak reference to its pool as its first argument.
        arguments = getattr(thread, "_args", None) or (None,)
        executor = arguments[0]() if callable(arguments[0]) else None
        if isinstance(executor, ThreadPoolExecutor):
            pool = found.setdefault(id(executor), ThreadPool(executor))
            pool.threads.append(thread)
            if _is_busy(frames.get(thread.ident or 0)):
                pool.busy += 1
                pool.others_busy |= thread.ident != this
    return list(found.values())


def pool_of(future: Future[Any], among: list[ThreadPool]) -> ThreadPool | None:
    """The pool in which a call waits or runs; None if several pools are possible.

    Cost: 1 us; 1 ms once for each pool with a queue, if several have one.
    """
    is_running = future.running()
    possible = [pool for pool in among if (pool.others_busy if is_running else pool.queued)]
    if len(possible) == 1 and not _has_process_pools():
        return possible[0]
    if is_running:
        return None
    return next((pool for pool in possible if id(future) in pool.queued_futures()), None)


def _has_process_pools() -> bool:
    """Whether a call may belong to a process pool."""
    module = sys.modules.get("concurrent.futures.process")
    return bool(getattr(module, "_threads_wakeups", None))


def _pool_threads() -> list[threading.Thread]:
    for _ in range(3):
        try:
            return list(concurrent.futures.thread._threads_queues)
        except RuntimeError:  # a thread was started meanwhile
            continue
    return []


def _is_busy(frame: FrameType | None) -> bool:
    """Whether a pool's thread runs a call. The pool's own count of idle threads is too high on 3.11."""
    return frame is not None and frame.f_code is not _WORKER


def _place(frame: FrameType | None) -> str:
    """The innermost line of the program, else of a library; empty for a thread that has no call."""
    nearest: FrameType | None = None
    while frame is not None and not frame.f_code.co_filename.endswith(_POOL_FILE):
        nearest = nearest or frame
        if not is_library(frame.f_code.co_filename):
            nearest = frame
            break
        frame = frame.f_back
    if nearest is None:
        return ""
    code = nearest.f_code
    return f"{short_path(code.co_filename)}:{nearest.f_lineno} {code.co_qualname}"
