"""Memory against its limit: how near, how fast, how long, and whether it is tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from qcfeed.diagnose.evidence import Evidence
from qcfeed.formats import age, count, size
from qcfeed.metrics import growth
from qcfeed.metrics.growth import Point
from qcfeed.model.diagnosis import Certainty, Finding

MANY = 1_000
"""Live tasks from which resident memory, shared among them, says what one may take at most."""
TASK_BYTES = 16_384
"""What a task may be thought to hold at most, its frames and what it buffers included."""
TASKS_SHARE = 0.5
"""Of the growth that tasks must account for, or it is told that it is not tasks."""
PARTS = 3
STILL = 0.25
"""Of the rate that is told, that the last minutes must have: what is over is no growth."""


class Climb(NamedTuple):
    """Memory on its way to the limit. ``over``: the time in which it was seen, as people say it."""

    bytes_per_s: float
    tasks_per_s: float
    r2: float
    left_s: float
    over: str
    readings: int


def climb(seen: Evidence) -> Climb | None:
    """The fastest climb to the limit that can be believed: in these seconds, or as remembered."""
    known = [each for each in (_lately(seen), _remembered(seen)) if each is not None]
    return min(known, key=lambda each: each.left_s, default=None)


def growing(seen: Evidence) -> Iterator[Finding]:
    """Resident memory that climbs in a straight line towards its limit."""
    climbs, held = climb(seen), seen.memory
    if climbs is None or held is None:
        return
    is_tasks = tasks_bytes_per_s(climbs.tasks_per_s) >= TASKS_SHARE * climbs.bytes_per_s
    first = seen.before.totals.live
    rate = f"{size(climbs.bytes_per_s * 60)} a minute"
    lived = f"{count(first)} lived at first, {count(seen.after.totals.live)} now"
    yield Finding(
        rule="memory_growth",
        kind="MEMORY",
        certainty=Certainty.FOUND,
        urgency=85 if climbs.left_s < 3_600 else 65,
        headline=f"grows by {rate}" + ("" if is_tasks else ", and it is not tasks"),
        cause=f"memory grows by {rate}, "
        + (
            f"with {climbs.tasks_per_s * 60:+,.0f} tasks"
            if is_tasks
            else "and it is not tasks: " + lived
        ),
        evidence=[
            f"{size(held.resident_bytes)} of {size(held.limit_bytes)} ({held.limit_source})",
            f"a line explains {climbs.r2:.0%} of {count(climbs.readings)} readings in {climbs.over}",
        ],
        left_s=climbs.left_s,
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
        left_s=None if left is None else left.seconds,
        safe="nothing is proved to be superfluous; keep the evidence before you restart",
        next=[f"{seen.command} report --bundle evidence.tar.gz"],
    )


class Left(NamedTuple):
    """Seconds until the memory limit, and at what rate that is."""

    seconds: float
    at: str


def time_left(seen: Evidence, *, tasks_per_minute: float = 0.0) -> Left | None:
    """The shortest time to the limit of what is known; None when it is not nearing.

    By how memory climbs, and by ``tasks_per_minute``, each with its share of what is resident now,
    which is the most that a task can take.
    """
    held, climbs = seen.memory, climb(seen)
    known = []
    if climbs is not None:
        known.append(Left(climbs.left_s, f"{size(climbs.bytes_per_s * 60)} more a minute"))
    live = seen.after.totals.live
    if held is not None and held.limit_bytes > 0 and tasks_per_minute > 0 and live >= MANY:
        each = held.resident_bytes / live
        room = max(0, held.limit_bytes - held.resident_bytes)
        seconds = room / each / tasks_per_minute * 60
        known.append(
            Left(seconds, f"{tasks_per_minute:,.0f} tasks more a minute, {size(each)} each at most")
        )
    return min(known, default=None)


def tasks_bytes_per_s(tasks_per_s: float) -> float:
    """What tasks that come at this rate may take, at most."""
    return max(0.0, tasks_per_s) * TASK_BYTES


def _lately(seen: Evidence) -> Climb | None:
    """In the seconds of this look: so few that the line must be a good one, and the growth large."""
    memory = [(each.at, each.memory) for each in seen.samples if each.memory is not None]
    line = growth.fit(memory)
    tasks = growth.fit([(each.at, each.live) for each in seen.samples if each.live is not None])
    if line is None or seen.memory is None or seen.memory.limit_bytes <= 0:
        return None
    limits, held = seen.limits, seen.memory.resident_bytes
    left = growth.time_to(seen.memory.limit_bytes, memory[-1][1], line.slope)
    if left is None or left > limits.memory_left_s or line.r2 < limits.memory_fit:
        return None
    if not _steady(seen.samples) or memory[-1][1] - memory[0][1] < limits.memory_growth * held:
        return None
    slope = 0.0 if tasks is None else tasks.slope
    over = age(memory[-1][0] - memory[0][0])
    return Climb(line.slope, slope, line.r2, left, over, len(memory))


def _remembered(seen: Evidence) -> Climb | None:
    """By the window that leaves the least time, if memory still grows in the shortest one."""
    if not seen.history or seen.memory is None or seen.memory.limit_bytes <= 0:
        return None
    windows = growth.windows(seen.history, seen.history[-1].at, seen.memory.limit_bytes)
    told = [each for each in windows if each.seconds >= seen.limits.remembered_s]
    worst = growth.reaching_limit(told, seen.limits.memory_left_s)
    if worst is None or worst.memory_bytes_per_hour is None or worst.memory_bytes_per_hour <= 0:
        return None
    lately = min(told, key=lambda each: each.seconds).memory_bytes_per_hour or 0.0
    if lately < STILL * worst.memory_bytes_per_hour:
        return None
    return Climb(
        worst.memory_bytes_per_hour / 3_600,
        (worst.tasks_per_minute or 0.0) / 60,
        worst.r2 or 0.0,
        worst.time_to_limit_s or 0.0,
        age(worst.seconds),
        worst.samples,
    )


def _steady(samples: Sequence[Point]) -> bool:
    """Whether each part of the time ended above the one before it: one step is no growth."""
    held = [each.memory for each in samples if each.memory is not None]
    ends = [held[len(held) * part // PARTS - 1] for part in range(1, PARTS + 1)]
    return all(earlier < later for earlier, later in pairwise(ends))
