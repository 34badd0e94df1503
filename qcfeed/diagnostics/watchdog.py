"""A thread that watches the loop's beat and takes the stack of whatever blocks the loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from dataclasses import dataclass, replace

from qcfeed.diagnostics.code_origin import is_library
from qcfeed.diagnostics.loop_watch import Call, LoopWatch, format_call
from qcfeed.diagnostics.source_lines import source_line
from qcfeed.diagnostics.task_info import info_of

CHECK_EVERY_S = 0.05
"""Seconds between two checks."""
MIN_STALL_S = 0.1
"""Seconds for which a stall must have lasted before it is recorded."""
MAX_STALLS = 64
"""Stalls that are kept, and as many late wake-ups."""
_OVERDUE_S = 0.01
"""Seconds by which a beat may be late: timers are not exact."""
_SAME_STALL_S = 0.005
"""Two checks see the same stall if the start times that they compute differ by less."""


@dataclass(slots=True)
class Stall:
    """A time during which the loop was blocked.

    ``began``: by ``time.monotonic()``. ``seconds``: how long it lasted, to within CHECK_EVERY_S.
    ``stack``: the calls of the loop's thread after MIN_STALL_S, innermost last. ``place``: the innermost
    call of the program itself; ``source``: the text of that line. ``serial`` and ``location``: of the
    task that was running; None and "" for a callback or an untracked task.
    """

    began: float
    seconds: float
    stack: list[str]
    serial: int | None = None
    location: str = ""
    place: str = ""
    source: str = ""


class Watchdog:
    """Keeps the last stalls of a loop with their stacks.

    It counts only time during which its own thread ran on time, so a stopped process or a sleeping
    machine is not a stall. For the same reason it does not see a single C call that holds the GIL (a huge
    sort, a garbage collection): no other thread runs meanwhile. If the loop is woken late from its
    selector, that is a late wake-up, not a stall.
    Cost: a thread that wakes 20 times per second and compares two numbers.
    """

    def __init__(self, watch: LoopWatch) -> None:
        self.caught = 0
        """Stalls so far, including those that are no longer kept."""
        self._watch = watch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stalls: deque[Stall] = deque(maxlen=MAX_STALLS)
        self._began = 0.0
        self._seen = 0.0
        self._current: Stall | None = None
        """The stall or late wake-up that is going on."""
        self._late: deque[Stall] = deque(maxlen=MAX_STALLS)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start. ``loop``: the one that the LoopWatch watches, which must have been started."""
        self._loop = loop
        self._stopping.clear()
        thread = threading.Thread(target=self._run, name="qcfeed-watchdog", daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Stop the thread and join it, which takes no time: it only waits."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._loop = self._thread = None

    def stalls(self) -> list[Stall]:
        """The last MAX_STALLS stalls, oldest first, including one that is going on. From any thread."""
        return [replace(stall) for stall in self._stalls.copy()]

    def late_wakeups(self) -> list[Stall]:
        """The last MAX_STALLS times at which the loop waited for events although a timer was due.

        The machine is too busy to run the thread, or other threads hold the interpreter. Kept apart from
        stalls, because no call in the loop is to blame. Oldest first. From any thread.
        """
        return [replace(stall) for stall in self._late.copy()]

    def check(self, now: float, passed: float) -> None:
        """Check the loop once, ``passed`` seconds after the last check."""
        overdue = self._watch.overdue(now)
        if overdue <= _OVERDUE_S:
            self._began = 0.0
            return
        began = now - overdue
        if abs(began - self._began) > _SAME_STALL_S:
            self._began, self._seen = began, 0.0
        before = self._seen
        # At most the time between two checks: after a SIGSTOP or a suspend, ``passed`` is not the loop's fault.
        self._seen += min(passed, 1.5 * CHECK_EVERY_S, overdue)
        if before < MIN_STALL_S <= self._seen:
            self._catch()
        elif before >= MIN_STALL_S and self._current is not None:
            self._current.seconds = self._seen
            is_late = bool(self._late) and self._late[-1] is self._current
            if is_late and not _waits_for_events(self._watch.calls()):
                self._seen = 0.0  # the loop runs now, before its beat: what it runs may block it

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stopping.wait(CHECK_EVERY_S):
            now = time.monotonic()
            self.check(now, now - last)
            last = now

    def _catch(self) -> None:
        calls = self._watch.calls()
        stall = self._current = _stall(self._began, self._seen, calls)
        if _waits_for_events(calls):
            self._late.append(stall)
            return
        task = None if self._loop is None else asyncio.current_task(self._loop)
        info = info_of(task)
        if info is not None:
            stall.serial, stall.location = info.serial, info.site.location
        self._stalls.append(stall)
        self.caught += 1


def _waits_for_events(calls: list[Call]) -> bool:
    """Whether the loop waits in its selector, so that no code of the program runs in it."""
    outer = list(calls)
    # A selector may call the ``select`` of the class that it derives from.
    while outer and outer[-1][0].co_name == "select":
        outer.pop()
    return len(outer) < len(calls) and bool(outer) and outer[-1][0] is _RUN_ONCE


_RUN_ONCE = getattr(getattr(asyncio.BaseEventLoop, "_run_once", None), "__code__", None)
"""Private to asyncio. Without it a late wake-up is recorded as a stall in the selector, and a test fails."""


def _stall(began: float, seconds: float, calls: list[Call]) -> Stall:
    stack = [format_call(call) for call in calls]
    if not calls:
        return Stall(began, seconds, stack)
    own = [call for call in calls if not is_library(call[0].co_filename)]
    place = format_call((own or calls)[-1])
    return Stall(began, seconds, stack, place=place, source=source_line(place.partition(" ")[0]))
