"""Traces the allocations of a program for a while, by the line that allocates.

Python's tracemalloc records each allocation during the trace. Meanwhile spawning a task takes three
times as long, and code that only allocates takes ten times as long or more; recording four frames per
allocation triples both. Each allocation that is still in use takes 90 bytes more. The trace runs in a
thread of its own, so it ends on time even if the event loop is blocked, and it ends early if its own
memory exceeds a limit.
"""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections import defaultdict
from dataclasses import dataclass, field

from qcfeed.diagnostics import code_origin
from qcfeed.diagnostics.code_origin import CodeOrigin

MAX_OVERHEAD = 48 * 2**20
"""Bytes that the trace itself may take; it then ends early."""
MAX_FRAMES = 16
"""Calls recorded per allocation, at most; the application's line is searched for among them."""
_CHECK = 0.1
"""Seconds between two checks of the trace's own memory."""
_ONE = threading.Lock()
"""tracemalloc has one state for the whole process, so only one trace can run."""


class TraceRefusedError(Exception):
    """No trace can be started now; the text says why."""


@dataclass(slots=True)
class LineAllocations:
    """The memory that one line allocated and that is still in use."""

    file: str
    line: int
    blocks: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Trace:
    """The result of a trace. ``seconds``: how long it took. ``total``: bytes of all ``lines``.

    ``overhead``: bytes that the trace itself needed. ``stopped_early``: why it ended early; else empty.
    """

    seconds: float = 0.0
    lines: list[LineAllocations] = field(default_factory=list)
    total: int = 0
    overhead: int = 0
    stopped_early: str = ""


def trace(
    seconds: float, stop: threading.Event, *, frames: int = 1, max_overhead: int = MAX_OVERHEAD
) -> Trace:
    """Trace for ``seconds``, or until ``stop`` is set. It blocks: call it in a thread of its own.

    ``frames``: calls to record per allocation. ``max_overhead``: bytes that the trace itself may take.
    Raises TraceRefusedError if a trace runs already, ours or the program's own. At the end the program
    stops for about 1 ms per thousand allocations that are still in use.
    """
    if not _ONE.acquire(blocking=False):
        raise TraceRefusedError("a trace is running already")
    try:
        if tracemalloc.is_tracing():
            raise TraceRefusedError("the program traces its allocations itself (tracemalloc)")
        tracemalloc.start(frames)
        try:
            return _run(seconds, stop, max_overhead)
        finally:
            tracemalloc.stop()
    finally:
        _ONE.release()


def _run(seconds: float, stop: threading.Event, max_overhead: int) -> Trace:
    found = Trace()
    begun = time.monotonic()
    while (left := seconds - (time.monotonic() - begun)) > 0:
        if stop.wait(min(left, _CHECK)):
            found.stopped_early = "it was ended"
            break
        if tracemalloc.get_tracemalloc_memory() > max_overhead:
            found.stopped_early = f"the trace itself took more than {max_overhead >> 20} MiB"
            break
        if not tracemalloc.is_tracing():
            found.stopped_early = "the program stopped the trace (tracemalloc.stop)"
            return found
    found.seconds = time.monotonic() - begun
    found.overhead = tracemalloc.get_tracemalloc_memory()
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()  # at once, because the rest would be traced too
    _add_lines(found, snapshot)
    return found


def _add_lines(found: Trace, snapshot: tracemalloc.Snapshot) -> None:
    lines: dict[tuple[str, int], LineAllocations] = {}
    own: dict[str, bool] = defaultdict(bool)
    # The trace's own allocations are left out.
    own[__file__] = own[tracemalloc.__file__] = True
    for each in snapshot.traces:
        frames = list(each.traceback)  # outermost first
        if own[frames[-1].filename]:
            continue
        chosen = _responsible(frames)
        key = (chosen.filename, chosen.lineno)
        row = lines.get(key)
        if row is None:
            row = lines[key] = LineAllocations(*key)
        row.blocks += 1
        row.bytes += each.size
        found.total += each.size
    found.lines = sorted(lines.values(), key=lambda row: -row.bytes)


def _responsible(frames: list[tracemalloc.Frame]) -> tracemalloc.Frame:
    """The innermost line of the application; without one, the innermost line."""
    for frame in reversed(frames):
        if code_origin.origins[frame.filename] is CodeOrigin.APPLICATION:
            return frame
    return frames[-1]
