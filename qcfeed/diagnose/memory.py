"""Memory against its limit: how full, how fast it grows, how long is left, and whether tasks are the cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from qcfeed.diagnose.evidence import DiagnosisThresholds, Evidence
from qcfeed.diagnostics.findings import Certainty
from qcfeed.formats import age, count, size
from qcfeed.metrics import growth, urgency
from qcfeed.metrics.growth import Point
from qcfeed.model.diagnosis import DiagnosisFinding

MIN_TASKS_FOR_SIZE = 1_000
"""Live tasks from which resident memory, divided by their number, is a useful bound for one task."""
TASK_BYTES = 16_384
"""The most that one task is assumed to hold, with its frames and its buffers."""
TASKS_SHARE = 0.5
"""Tasks count as the cause of the growth if they can account for this share of it."""
PARTS = 3
"""Parts of the samples between the two snapshots; memory must rise from each to the next."""
ONGOING_SHARE = 0.25
"""Growth counts as over if the shortest window grows by less than this share of the reported rate."""


class MemoryTrend(NamedTuple):
    """A straight line through memory that reaches the limit. ``over``: the window, as text."""

    bytes_per_s: float
    tasks_per_s: float
    r2: float
    left_s: float
    over: str
    samples: int


class TimeToLimit(NamedTuple):
    """Seconds until memory reaches its limit, and the rate that this assumes, as text. ``most``: the
    longest estimate."""

    seconds: float
    rate: str
    most: float


def fastest_growth(evidence: Evidence) -> MemoryTrend | None:
    """The growth that leaves the least time: between the two snapshots, or in the history."""
    known = [_growth_in_window(evidence), _growth_in_history(evidence)]
    return min((each for each in known if each is not None), key=lambda e: e.left_s, default=None)


def memory_growth(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Memory that grows in a straight line towards its limit."""
    grows, memory = fastest_growth(evidence), evidence.memory
    if grows is None or memory is None:
        return
    is_tasks = tasks_bytes_per_s(grows.tasks_per_s) >= TASKS_SHARE * grows.bytes_per_s
    first = evidence.before.totals.live
    rate = f"{size(grows.bytes_per_s * 60)} per minute"
    counted = f"{count(first)} live at first, {count(evidence.after.totals.live)} now"
    yield DiagnosisFinding(
        rule="memory_growth",
        kind="MEMORY",
        certainty=Certainty.PROVED,
        urgency=85 if grows.left_s < 3_600 else 65,
        headline=f"grows by {rate}" + ("" if is_tasks else ", and tasks are not the cause"),
        cause=f"memory grows by {rate}, "
        + (
            f"with {grows.tasks_per_s * 60:+,.0f} tasks"
            if is_tasks
            else f"and tasks are not the cause: {counted}"
        ),
        evidence=[
            f"{size(memory.resident_bytes)} of {size(memory.limit_bytes)} ({memory.limit_source})",
            f"straight line through {count(grows.samples)} samples over {grows.over}, r² {grows.r2:.2f}",
        ],
        left_s=grows.left_s,
        left_most_s=max([grows.left_s, *_estimates(evidence)]),
        safe="no task to cancel: a cache, a list or a queue keeps growing",
        next=[
            f"{evidence.command} memory",
            f"{evidence.command} report --bundle evidence.tar.gz",
            f"{evidence.command} tasks --waits",
        ],
    )


def memory_near_limit(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Memory near its limit, growing or not."""
    memory = evidence.memory
    if memory is None or not memory.limit_bytes:
        return
    share = memory.resident_bytes / memory.limit_bytes
    if share < evidence.thresholds.memory_share:
        return
    left = time_to_limit(evidence)
    yield DiagnosisFinding(
        rule="memory_level",
        kind="MEMORY",
        certainty=Certainty.PROVED,
        urgency=80,
        headline=f"{size(memory.resident_bytes)} of {size(memory.limit_bytes)} used, {share:.0%}",
        cause=f"memory is at {share:.0%} of its limit, {size(memory.limit_bytes)}"
        f" ({memory.limit_source})",
        evidence=[f"{count(evidence.after.totals.live)} live tasks"],
        left_s=None if left is None else left.seconds,
        left_most_s=None if left is None else left.most,
        safe="no task is proved to be orphaned; save the evidence before you restart",
        next=[
            f"{evidence.command} report --bundle evidence.tar.gz",
            f"{evidence.command} memory",
        ],
    )


def time_to_limit(evidence: Evidence, *, tasks_per_minute: float = 0.0) -> TimeToLimit | None:
    """The shortest time until memory reaches its limit; None if it does not grow.

    There are two estimates: the measured growth of memory; and ``tasks_per_minute`` new tasks, each of which
    takes an equal share of the resident memory, which is the most that a task can take on average.
    """
    memory, grows = evidence.memory, fastest_growth(evidence)
    known = []
    if grows is not None:
        known.append((grows.left_s, f"{size(grows.bytes_per_s * 60)} more per minute"))
    live = evidence.after.totals.live
    measured = memory is not None and memory.limit_bytes > 0
    if memory is not None and measured and tasks_per_minute > 0 and live >= MIN_TASKS_FOR_SIZE:
        each = memory.resident_bytes / live
        free = max(0, memory.limit_bytes - memory.resident_bytes)
        seconds = free / each / tasks_per_minute * 60
        rate = f"{tasks_per_minute:,.0f} more tasks per minute, {size(each)} each at most"
        known.append((seconds, rate))
    if not known:
        return None
    seconds, rate = min(known)
    return TimeToLimit(seconds, rate, max([*_estimates(evidence), *(each for each, _ in known)]))


def _estimates(evidence: Evidence) -> list[float]:
    """The time left, in seconds, by each window over which memory grows."""
    in_window = _growth_in_window(evidence)
    return [
        *([in_window.left_s] if in_window is not None else []),
        *(each.time_to_limit_s for each in _windows(evidence) if each.time_to_limit_s),
    ]


def tasks_bytes_per_s(tasks_per_s: float) -> float:
    """The most memory that new tasks at this rate can take, in bytes per second."""
    return max(0.0, tasks_per_s) * TASK_BYTES


def _growth_in_window(evidence: Evidence) -> MemoryTrend | None:
    """Growth between the two snapshots.

    A few seconds prove little, so the line must fit well and the growth must be large.
    """
    memory = [(each.at, each.memory) for each in evidence.samples if each.memory is not None]
    line = growth.fit(memory)
    tasks = growth.fit([(each.at, each.live) for each in evidence.samples if each.live is not None])
    if line is None or evidence.memory is None or evidence.memory.limit_bytes <= 0:
        return None
    thresholds, resident = evidence.thresholds, evidence.memory.resident_bytes
    left = growth.time_to(evidence.memory.limit_bytes, memory[-1][1], line.slope)
    if left is None or left > thresholds.memory_left_s or line.r2 < thresholds.memory_fit:
        return None
    grown = memory[-1][1] - memory[0][1]
    if not _steady(evidence.samples) or grown < thresholds.memory_growth * resident:
        return None
    slope = 0.0 if tasks is None else tasks.slope
    over = age(memory[-1][0] - memory[0][0])
    return MemoryTrend(line.slope, slope, line.r2, left, over, len(memory))


def _growth_in_history(evidence: Evidence) -> MemoryTrend | None:
    if evidence.memory is None:
        return None
    return ongoing_growth(evidence.history, evidence.memory.limit_bytes, evidence.thresholds)


def ongoing_growth(
    history: Sequence[Point], limit: float, thresholds: DiagnosisThresholds
) -> MemoryTrend | None:
    """The window that leaves the least time, if memory still grows in the shortest window."""
    windows = _long_windows(history, limit, thresholds)
    worst = urgency.reaching_limit(windows, thresholds.memory_left_s)
    if worst is None or worst.memory_bytes_per_hour is None or worst.memory_bytes_per_hour <= 0:
        return None
    latest = min(windows, key=lambda each: each.seconds).memory_bytes_per_hour or 0.0
    if latest < ONGOING_SHARE * worst.memory_bytes_per_hour:
        return None
    return MemoryTrend(
        worst.memory_bytes_per_hour / 3_600,
        (worst.tasks_per_minute or 0.0) / 60,
        worst.r2 or 0.0,
        worst.time_to_limit_s or 0.0,
        age(worst.seconds),
        worst.samples,
    )


def _windows(evidence: Evidence) -> list[growth.GrowthWindow]:
    limit = 0.0 if evidence.memory is None else evidence.memory.limit_bytes
    return _long_windows(evidence.history, limit, evidence.thresholds)


def _long_windows(
    history: Sequence[Point], limit: float, thresholds: DiagnosisThresholds
) -> list[growth.GrowthWindow]:
    """The windows of the history that are long enough to be judged."""
    if not history or limit <= 0:
        return []
    found = growth.windows(history, history[-1].at, limit)
    return [each for each in found if each.seconds >= thresholds.history_min_s]


def _steady(samples: Sequence[Point]) -> bool:
    """Whether memory is higher at the end of each third than at the end of the one before.

    A single step, such as a large allocation at start, fails this test.
    """
    memory = [each.memory for each in samples if each.memory is not None]
    ends = [memory[len(memory) * part // PARTS - 1] for part in range(1, PARTS + 1)]
    return all(earlier < later for earlier, later in pairwise(ends))
