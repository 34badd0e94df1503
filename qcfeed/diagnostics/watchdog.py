"""Catches whoever keeps the loop from turning, in the act: a thread that looks at its beat."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from dataclasses import dataclass, replace

from qcfeed.diagnostics.loop_watch import Call, LoopWatch, format_call
from qcfeed.diagnostics.source_lines import is_library, source_line
from qcfeed.diagnostics.task_info import info_of

CHECK_EVERY_S = 0.05
"""Seconds between two looks."""
MIN_STALL_S = 0.1
"""Seconds that a stall must have been seen to last before it is caught."""
MAX_STALLS = 64
_OVERDUE_S = 0.01
_SAME_STALL_S = 0.005
"""Two looks see one stall when its beginning, as reckoned from each, differs by less."""


@dataclass(slots=True)
class Stall:
    """A time in which the loop did not turn.

    ``began`` is ``time.monotonic()``, ``seconds`` how long it was seen to last, to within a TICK.
    ``stack``: where the loop's thread was once it had lasted LONG, the innermost call last; ``place``
    is the innermost that a reader would call their own, ``source`` that line's text.
    ``serial`` and ``location`` are of the task that ran; None and "" for a callback, or a task that
    the ledger does not know.
    """

    began: float
    seconds: float
    stack: list[str]
    serial: int | None = None
    location: str = ""
    place: str = ""
    source: str = ""


class Watchdog:
    """Keeps the last stalls with their stacks.

    Cost: a thread that wakes 20 times a second and compares two numbers.
    It counts only time in which its own thread ran on time, so a process that was stopped, or a
    machine that was asleep, is no stall. For the same reason it cannot see one C call that holds
    the GIL throughout (a huge sort, a garbage collection): then no other thread runs either.
    """

    def __init__(self, watch: LoopWatch) -> None:
        self.caught = 0
        """Stalls so far, those no longer kept included."""
        self._watch = watch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stalls: deque[Stall] = deque(maxlen=MAX_STALLS)
        self._began = 0.0
        self._seen = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin. ``loop`` is the one that the LoopWatch, started already, beats in."""
        self._loop = loop
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="qcfeed-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and join it: at once, as it only waits."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._loop = self._thread = None

    def stalls(self) -> list[Stall]:
        """The last KEPT, oldest first, one that goes on included. From any thread."""
        return [replace(stall) for stall in self._stalls.copy()]

    def look(self, now: float, passed: float) -> None:
        """One look, ``passed`` seconds after the last."""
        overdue = self._watch.overdue(now)
        if overdue <= _OVERDUE_S:
            self._began = 0.0
            return
        began = now - overdue
        if abs(began - self._began) > _SAME_STALL_S:
            self._began, self._seen = began, 0.0
        before = self._seen
        self._seen += min(passed, 1.5 * CHECK_EVERY_S, overdue)
        if before < MIN_STALL_S <= self._seen:
            self._stalls.append(self._catch())
            self.caught += 1
        elif before >= MIN_STALL_S:
            self._stalls[-1].seconds = self._seen

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stopping.wait(CHECK_EVERY_S):
            now = time.monotonic()
            self.look(now, now - last)
            last = now

    def _catch(self) -> Stall:
        stall = _stall(self._began, self._seen, self._watch.calls())
        task = None if self._loop is None else asyncio.current_task(self._loop)
        known = info_of(task)
        if known is not None:
            stall.serial, stall.location = known.serial, known.site.location
        return stall


def _stall(began: float, seconds: float, calls: list[Call]) -> Stall:
    stack = [format_call(call) for call in calls]
    if not calls:
        return Stall(began, seconds, stack)
    own = [call for call in calls if not is_library(call[0].co_filename)]
    place = format_call((own or calls)[-1])
    return Stall(began, seconds, stack, place=place, source=source_line(place.partition(" ")[0]))
