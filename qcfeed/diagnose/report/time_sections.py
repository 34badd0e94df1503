"""The report's sections about time: growth rates by window, and the timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from qcfeed import rfc3339
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.report.blocks import Block, Curve, Grid, Heading, Paragraph
from qcfeed.diagnose.report.material import Material
from qcfeed.formats import age, count, size
from qcfeed.metrics import growth, urgency
from qcfeed.metrics.growth import Point

TIMELINE_ROWS = 20
"""Rows of the timeline, spread evenly over it."""
NUMBER_COLUMNS = frozenset({1, 2, 3, 4})


def windows(evidence: Evidence) -> Iterator[Block]:
    """Growth of memory and tasks in each window, the window that leaves the least time first."""
    if not evidence.history or evidence.memory is None:
        return
    found = growth.windows(evidence.history, evidence.history[-1].at, evidence.memory.limit_bytes)
    fitted = [each for each in urgency.worst_first(found) if each.missing_reason is None]
    if fitted:
        yield Grid(
            ("Window", "Memory per hour", "Fit (r2)", "Tasks per minute", "Time to the limit"),
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
            NUMBER_COLUMNS,
        )


def timeline(material: Material) -> Iterator[Block]:
    """From the history, or else from the seconds in which the report is made."""
    yield Heading("Timeline")
    points = material.evidence.history
    if len(points) > 1:
        yield Paragraph(f"Source: {material.evidence.history_source}.")
    else:
        points = _dated(material.evidence)
        yield Paragraph(
            "No history is available; the timeline covers the"
            f" {age(material.evidence.seconds)} in which this report was made."
        )
    if not points:
        return
    yield from _curves(points)
    rows = _spread(points, TIMELINE_ROWS)
    yield Grid(
        ("Time (UTC)", "Memory", "Active tasks", "Subscriptions", "Orphans"),
        [
            (
                _clock(each.at),
                "-" if each.memory is None else size(each.memory),
                *(_whole(value) for value in (each.live, each.subscriptions, each.orphans)),
            )
            for each in rows
        ],
        NUMBER_COLUMNS,
    )


def _dated(evidence: Evidence) -> list[Point]:
    """The samples between the two snapshots, moved from the monotonic clock to Unix time."""
    if not evidence.samples:
        return []
    shift = rfc3339.unix(evidence.after.taken_at) - evidence.samples[-1].at
    return [each._replace(at=each.at + shift) for each in evidence.samples]


def _curves(points: Sequence[Point]) -> Iterator[Block]:
    memory = [(each.at, each.memory) for each in points if each.memory is not None]
    live = [(each.at, each.live) for each in points if each.live is not None]
    times = _clock(points[0].at), _clock(points[-1].at)
    if memory:
        yield Curve("Memory", memory, ("0", size(max(v for _, v in memory)), *times))
    if live:
        yield Curve("Active tasks", live, ("0", count(round(max(v for _, v in live))), *times))


def _spread(points: Sequence[Point], most: int) -> list[Point]:
    """At most ``most`` points, spread evenly, with the first and the last."""
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
