"""Runs a target on one input: it may raise only what it declares, and work and memory are bounded.

Work is the number of function calls, which no busy machine changes, and the processor time of this thread
for work inside one call, such as a pattern that is matched in quadratic time.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from types import FrameType

from tests.fuzz.target import Target

SECONDS = 1.0
SECONDS_PER_BYTE = 100e-6
"""Processor time: a hundred times what any reader takes, also under a profiler on a busy machine."""


class OverBudgetError(AssertionError):
    """A reader took more than its input warrants."""


def outcome(target: Target, raw: bytes) -> str:
    """The name of the declared error that ``raw`` raises, or ``read``. Any other exception is a bug."""
    try:
        target.read(raw)
    except target.errors as error:
        return type(error).__name__
    return "read"


def check(target: Target, raw: bytes) -> str:
    """``outcome``, within the target's budgets. Raises OverBudgetError."""
    outcome(target, raw)  # modules and caches that are loaded once belong to no input
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    begun = time.thread_time()
    sys.setprofile(count)
    try:
        found = outcome(target, raw)
    finally:
        sys.setprofile(None)
        took = time.thread_time() - begun
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    size = len(raw)
    _within("calls", calls, target.least_calls + target.calls * size)
    _within("bytes", peak, target.least_memory + target.memory * size)
    _within("seconds", took, SECONDS + SECONDS_PER_BYTE * size)
    return found


def _within(unit: str, used: float, allowed: float) -> None:
    if used > allowed:
        raise OverBudgetError(f"{used:,.6g} {unit}, and {allowed:,.6g} are allowed")
