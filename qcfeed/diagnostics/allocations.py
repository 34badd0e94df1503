"""Traces the allocations of a program for a while, by the line that allocates.

Python's tracemalloc then records each allocation. A task takes three times as long to spawn meanwhile,
code that does nothing but allocate ten times as long or more; with four frames per allocation, three
times as much again. Each allocation that is not freed takes 90 bytes more. The trace runs in a thread of
its own, so it ends in time whatever the event loop does, and early before its own memory becomes a danger.
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
"""Calls that are recorded of each allocation, at most; a line of the application is looked for among them."""
_CHECK = 0.1
"""Seconds between two looks at its own memory."""
_ONE = threading.Lock()
"""tracemalloc is one for the whole process, so only one trace can run."""


class TraceRefusedError(Exception):
    """No trace can be started now; the text says why."""


@dataclass(slots=True)
class AllocatedBy:
    """What one line allocated and is still in use."""

    file: str
    line: int
    blocks: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Trace:
    """``seconds`` that it took; ``overhead``: bytes that it needed itself."""

    seconds: float = 0.0
    lines: list[AllocatedBy] = field(default_factory=list)
    total: int = 0
    overhead: int = 0
    stopped_early: str = ""


def trace(
    seconds: float, stop: threading.Event, *, frames: int = 1, max_overhead: int = MAX_OVERHEAD
) -> Trace:
    """Trace for ``seconds``, or until ``stop`` is set. It blocks: call it in a thread of its own.

    Raises TraceRefusedError if a trace runs already, ours or the program's own. At the end the program
    stops for about 1 ms per thousand allocations that are still in use. ``frames``: calls to record of each.
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
    tracemalloc.stop()  # what follows needs no trace
    _add_lines(found, snapshot)
    return found


def _add_lines(found: Trace, snapshot: tracemalloc.Snapshot) -> None:
    lines: dict[tuple[str, int], AllocatedBy] = {}
    own: dict[str, bool] = defaultdict(bool)
    own[__file__] = own[tracemalloc.__file__] = True
    for each in snapshot.traces:
        frames = list(each.traceback)  # outermost first
        if own[frames[-1].filename]:
            continue
        chosen = _responsible(frames)
        key = (chosen.filename, chosen.lineno)
        row = lines.get(key)
        if row is None:
            row = lines[key] = AllocatedBy(*key)
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
