"""Memory against its limit: how near, how fast, how long, and whether it is tasks."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.formats import age, count, size
from qcfeed.verdict.answers import Certainty, Finding
from qcfeed.verdict.evidence import Evidence
from qcfeed.verdict.trend import Growth, growth

MANY = 1_000
"""Live tasks from which resident memory, shared among them, says what one may take at most."""
TASK_BYTES = 16_384
"""What a task may be thought to hold at most, its frames and what it buffers included."""


def growing(seen: Evidence) -> Iterator[Finding]:
    """Resident memory that climbs in a straight line towards its limit."""
    trend, held = growth(seen.samples), seen.memory
    if trend is None or held is None:
        return
    left = trend.left_s(held.resident_bytes, held.limit_bytes)
    if left is None or not _climbs(seen, trend, left):
        return
    tasks = tasks_bytes_per_s(trend) / trend.bytes_per_s
    first, last = seen.samples[0].live, seen.samples[-1].live
    rate = f"{size(trend.bytes_per_s * 60)} a minute"
    yield Finding(
        rule="memory_growth",
        kind="MEMORY",
        certainty=Certainty.FOUND,
        urgency=85 if left < 3_600 else 65,
        headline=f"grows by {rate}" + (", and it is not tasks" if tasks < 0.5 else ""),
        cause=f"memory grows by {rate}"
        + (
            f", and it is not tasks: {count(first)} lived at first, {count(last)} now"
            if tasks < 0.5
            else f", with {(last - first):+,} tasks"
        ),
        evidence=[
            f"{size(held.resident_bytes)} of {size(held.limit_bytes)} ({held.limit_source})",
            f"{size(trend.grown_bytes)} more in {age(trend.seconds)}",
            f"a straight line explains {trend.fit:.0%} of {len(seen.samples)} readings",
        ],
        began_s=None,
        left_s=left,
        safe="no task to cancel: something keeps what it is given (a cache, a list, a queue)",
        next=[
            f"{seen.command} report --bundle evidence.tar.gz",
            f"{seen.command} tasks --waits",
        ],
    )


def near(seen: Evidence) -> Iterator[Finding]:
    """Resident memory near its limit, growing or not."""
    held = seen.memory
    if held is None or not held.limit_bytes:
        return
    share = held.resident_bytes / held.limit_bytes
    if share < seen.limits.memory_share:
        return
    left = time_left(seen)
    yield Finding(
        rule="memory_level",
        kind="MEMORY",
        certainty=Certainty.FOUND,
        urgency=80,
        headline=f"{size(held.resident_bytes)} of {size(held.limit_bytes)}, {share:.0%}",
        cause=f"memory is at {share:.0%} of its limit, {size(held.limit_bytes)} ({held.limit_source})",
        evidence=[f"{count(seen.after.totals.live)} tasks live"],
        left_s=left,
        safe="nothing is proved to be superfluous; keep the evidence before you restart",
        next=[f"{seen.command} report --bundle evidence.tar.gz"],
    )


def time_left(seen: Evidence, *, tasks_per_minute: float = 0.0) -> float | None:
    """Seconds until the memory limit, the shortest of what is known; None when it is not nearing.

    By the readings of these seconds where they climb, and by ``tasks_per_minute``, each with its
    share of what is resident now, which is the most that a task can take.
    """
    held = seen.memory
    if held is None or held.limit_bytes <= 0:
        return None
    known = []
    trend = growth(seen.samples)
    if trend is not None:
        left = trend.left_s(held.resident_bytes, held.limit_bytes)
        if left is not None and _climbs(seen, trend, left):
            known.append(left)
    live = seen.after.totals.live
    if tasks_per_minute > 0 and live >= MANY:
        each = held.resident_bytes / live
        room = max(0, held.limit_bytes - held.resident_bytes)
        known.append(room / each / tasks_per_minute * 60)
    return min(known, default=None)


def tasks_bytes_per_s(trend: Growth) -> float:
    """What the tasks that came meanwhile may have taken of it."""
    return max(0.0, trend.tasks_per_s) * TASK_BYTES


def _climbs(seen: Evidence, trend: Growth, left: float) -> bool:
    held, limits = seen.memory, seen.limits
    return (
        held is not None
        and left <= limits.memory_left_s
        and trend.fit >= limits.memory_fit
        and trend.steady
        and trend.grown_bytes >= limits.memory_growth * held.resident_bytes
    )
