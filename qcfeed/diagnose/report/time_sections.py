"""The report's sections about time: how fast memory and tasks grow, and the timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.report.blocks import Block, Curve, Grid, Heading, Text
from qcfeed.diagnose.report.material import Material
from qcfeed.formats import age, count, size
from qcfeed.metrics import growth
from qcfeed.metrics.growth import Point

MOMENTS = 20
"""Rows of the timeline, evenly from its whole."""
NUMBERS = frozenset({1, 2, 3, 4})


def windows(seen: Evidence) -> Iterator[Block]:
    """How fast memory and tasks grow, over each window: the one that leaves the least time first."""
    if not seen.history or seen.memory is None:
        return
    found = growth.windows(seen.history, seen.history[-1].at, seen.memory.limit_bytes)
    fitted = [each for each in growth.worst_first(found) if each.missing is None]
    if fitted:
        yield Grid(
            ("Window", "Memory an hour", "Fit (r2)", "Tasks a minute", "Time to the limit"),
            [
                (
                    each.window,
                    _signed_size(each.memory_bytes_per_hour),
                    "-" if each.r2 is None else f"{each.r2:.2f}",
                    "-" if each.tasks_per_minute is None else f"{each.tasks_per_minute:+,.1f}",
                    "never" if each.time_to_limit_s is None else age(each.time_to_limit_s),
                )
                for each in fitted
            ],
            NUMBERS,
        )


def timeline(told: Material) -> Iterator[Block]:
    """As it is remembered; else of the seconds of this look."""
    yield Heading("Timeline")
    points = told.evidence.history
    if len(points) > 1:
        yield Text(f"As {told.evidence.remembered_by} remembers it.")
    else:
        points = _dated(told.evidence)
        yield Text(
            "Nothing is remembered from before; these are the"
            f" {age(told.evidence.seconds)} in which this report was made."
        )
    if not points:
        return
    yield from _curves(points)
    some = _spread(points, MOMENTS)
    yield Grid(
        ("Time (UTC)", "Memory", "Active tasks", "Subscriptions", "Orphans"),
        [
            (
                _clock(each.at),
                "-" if each.memory is None else size(each.memory),
                *(_whole(value) for value in (each.live, each.subscriptions, each.orphans)),
            )
            for each in some
        ],
        NUMBERS,
    )


def _dated(seen: Evidence) -> list[Point]:
    """The readings of these seconds, in the time of day: their clock has another nought."""
    if not seen.samples:
        return []
    shift = datetime.fromisoformat(seen.after.taken_at).timestamp() - seen.samples[-1].at
    return [each._replace(at=each.at + shift) for each in seen.samples]


def _curves(points: Sequence[Point]) -> Iterator[Block]:
    memory = [(each.at, each.memory) for each in points if each.memory is not None]
    live = [(each.at, each.live) for each in points if each.live is not None]
    times = _clock(points[0].at), _clock(points[-1].at)
    if memory:
        yield Curve("Memory", memory, ("0", size(max(v for _, v in memory)), *times))
    if live:
        yield Curve("Active tasks", live, ("0", count(round(max(v for _, v in live))), *times))


def _spread(points: Sequence[Point], most: int) -> list[Point]:
    """At most ``most`` of them, evenly, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(place * step)] for place in range(most)]


def _signed_size(value: float | None) -> str:
    return "-" if value is None else f"{'-' if value < 0 else '+'}{size(abs(value))}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _whole(value: float | None) -> str:
    return "-" if value is None else count(round(value))
