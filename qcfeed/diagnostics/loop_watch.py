"""Measures from any thread whether an event loop is running, by a timer (the *beat*) inside it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from types import CodeType

from qcfeed.diagnostics.histogram import Histogram
from qcfeed.diagnostics.site import short_path

Call = tuple[CodeType, int]
"""The code of a function and the line that it is at."""

_MEASURING_BEAT_S = 0.001
"""Seconds between two beats during a measurement."""
_TOLERANCE_S = 0.01
"""Seconds by which a beat may be late before the loop counts as stalled: timers are not exact."""


def format_call(call: Call) -> str:
    """``file:line function`` of a call."""
    code, line = call
    return f"{short_path(code.co_filename)}:{line} {code.co_qualname}"


class Measurement:
    """The longest stall of a loop since the measurement began."""

    def __init__(self, watch: LoopWatch) -> None:
        self._watch = watch
        self._requested_at: float | None = time.monotonic() if watch.started else None
        self._longest = 0.0

    @property
    def longest(self) -> float:
        """In seconds, including a stall that is still going on."""
        now = time.monotonic()
        asked = None if self._watch.ended else self._requested_at
        overdue = self._watch.overdue(now) if asked is None else now - asked
        return max(self._longest, overdue)

    def note(self, late: float, now: float) -> None:
        """Take in a beat that was ``late`` seconds late. For the first beat, the time since the
        measurement began counts, because the loop was asked for a beat then."""
        if self._requested_at is not None:
            late, self._requested_at = now - self._requested_at, None
        self._longest = max(self._longest, late)


class LoopWatch:
    """Measures from any thread how late an event loop is, and shows where it is stuck.

    ::

        watch = LoopWatch()
        watch.start(asyncio.get_running_loop())
        ...
        if watch.stalled_for(time.monotonic()) > 1:  # in another thread
            print("\\n".join(watch.stack()))

    One watch serves one loop at a time. ``start`` raises RuntimeError if the loop is closed. Cost: one
    timer in the loop every ``beat`` seconds; every millisecond during ``measure()``.
    """

    def __init__(self, beat: float = 0.05, lags: Histogram | None = None) -> None:
        """``beat``: seconds between two beats. ``lags``: a histogram that counts how late each beat was,
        in seconds."""
        self.lags = lags
        self.lag = 0.0
        """How late the last beat was, in seconds."""
        self._beat_s = beat
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self.due = 0.0
        """When the loop must run next, by ``time.monotonic()``."""
        self._timer: asyncio.TimerHandle | None = None
        self._measurements: tuple[Measurement, ...] = ()
        self._lock = threading.Lock()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the beat. Call it in the loop's thread."""
        self._loop = loop
        self._thread = threading.get_ident()
        self._schedule(time.monotonic())

    def stop(self) -> None:
        """Stop the beat; the loop counts as healthy from then on. Call it in the loop's thread."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None

    @property
    def started(self) -> bool:
        """Whether the watch is running."""
        return self._loop is not None

    @property
    def ended(self) -> bool:
        """Whether the loop was closed while it was watched."""
        return self._loop is not None and self._loop.is_closed()

    @property
    def thread(self) -> int:
        """The ident of the loop's thread; 0 before the watch was started."""
        return self._thread

    def overdue(self, now: float) -> float:
        """Seconds by which the next beat is late already; 0 if it is not due or the watch has ended.

        ``now``: ``time.monotonic()``, here and below.
        """
        return 0.0 if self._loop is None or self.ended else max(0.0, now - self.due)

    def stalled_for(self, now: float) -> float:
        """Seconds for which the loop has been stalled; 0 if it is healthy."""
        overdue = self.overdue(now)
        return overdue if overdue > _TOLERANCE_S else 0.0

    def calls(self) -> list[Call]:
        """The calls that the loop's thread is in now, innermost last."""
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001
        calls: list[Call] = []
        while frame is not None:
            calls.append((frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno))
            frame = frame.f_back
        return calls[::-1]

    def stack(self) -> list[str]:
        """Like ``calls``, each as ``file:line function``."""
        return [format_call(call) for call in self.calls()]

    @contextlib.contextmanager
    def measure(self) -> Iterator[Measurement]:
        """Measure the longest stall during the block, with a beat every millisecond. From any thread."""
        measurement = Measurement(self)
        # A new tuple each time, because the loop iterates over it without the lock.
        with self._lock:
            self._measurements += (measurement,)
        self._request_beat()
        try:
            yield measurement
        finally:
            with self._lock:
                self._measurements = tuple(
                    other for other in self._measurements if other is not measurement
                )

    def _request_beat(self) -> None:
        loop = self._loop
        with contextlib.suppress(RuntimeError):  # the loop was closed: there will be no more beats
            if loop is not None:
                loop.call_soon_threadsafe(self._beat)

    def _schedule(self, now: float) -> None:
        # Measured from now, not from the beat that was due: a late beat must not be followed by a burst.
        interval = _MEASURING_BEAT_S if self._measurements else self._beat_s
        self.due = now + interval
        if self._loop is not None:
            self._timer = self._loop.call_later(interval, self._beat)

    def _beat(self) -> None:
        # A measurement may have called this early, while the timer of the next beat is still set.
        if self._timer is not None:
            self._timer.cancel()
        now = time.monotonic()
        self.lag = self.overdue(now)
        if self.lags is not None:
            self.lags.note(self.lag)
        for measurement in self._measurements:
            measurement.note(self.lag, now)
        self._schedule(now)
