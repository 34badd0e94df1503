from __future__ import annotations

import json
import threading
import tracemalloc
from typing import Any

import pytest

from qcfeed.diagnostics import allocations
from qcfeed.diagnostics.allocations import Trace, TraceRefusedError
from tests.support.patience import PATIENCE


def allocate(kept: list[Any], number: int) -> None:
    kept.extend(bytes(1_000) for _ in range(number))


def traced(kept: list[Any], number: int, **how: Any) -> Trace:
    """A trace in a thread, during which this one allocates."""
    found: list[Trace] = []
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: found.append(allocations.trace(PATIENCE, stop, **how)), daemon=True
    )
    thread.start()
    while not tracemalloc.is_tracing():
        assert thread.is_alive()
    allocate(kept, number)
    if not how:
        stop.set()
    thread.join(PATIENCE)
    assert not tracemalloc.is_tracing()
    return found[0]


def test_the_line_that_allocates_is_named_with_what_it_keeps() -> None:
    found = traced([], 5_000)
    first = found.lines[0]
    assert first.file == __file__
    assert 5_000 * 1_000 < first.bytes < 5_000 * 1_200
    assert first.blocks >= 5_000
    assert found.total >= first.bytes
    assert found.stopped_early == "it was ended"


def test_what_was_freed_does_not_count() -> None:
    kept: list[Any] = []
    stop, found = threading.Event(), []
    thread = threading.Thread(target=lambda: found.append(allocations.trace(PATIENCE, stop)))
    thread.start()
    while not tracemalloc.is_tracing():
        assert thread.is_alive()
    allocate(kept, 5_000)
    kept.clear()
    stop.set()
    thread.join(PATIENCE)
    assert sum(line.bytes for line in found[0].lines if line.file == __file__) < 100_000


def test_a_trace_ends_early_when_it_takes_too_much_memory_itself() -> None:
    found = traced([], 50_000, max_overhead=1_000_000)
    assert found.stopped_early.startswith("the trace itself took more than")
    assert found.overhead > 1_000_000


def test_only_one_trace_runs_and_none_beside_the_programs_own() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TraceRefusedError, match="tracemalloc"):
            allocations.trace(1, threading.Event())
        assert tracemalloc.is_tracing()  # it is still the program's
    finally:
        tracemalloc.stop()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: allocations.trace(PATIENCE, stop))
    thread.start()
    while not tracemalloc.is_tracing():
        assert thread.is_alive()
    with pytest.raises(TraceRefusedError, match="running already"):
        allocations.trace(1, threading.Event())
    stop.set()
    thread.join(PATIENCE)
    assert not tracemalloc.is_tracing()


def test_with_more_frames_the_line_of_the_application_is_named() -> None:
    kept: list[Any] = []
    stop, found = threading.Event(), []
    thread = threading.Thread(
        target=lambda: found.append(allocations.trace(PATIENCE, stop, frames=8)), daemon=True
    )
    thread.start()
    while not tracemalloc.is_tracing():
        assert thread.is_alive()
    for number in range(2_000):
        kept.append(json.loads(f'{{"number": {number}, "text": "{number}"}}'))  # noqa: PERF401
    stop.set()
    thread.join(PATIENCE)
    assert found[0].lines[0].file == __file__
