"""The output of ``qcfeed growth``: the timeline, the fit of each window, the growing locations. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from qcfeed import rfc3339
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.sparkline import BLOCKS, sparkline
from qcfeed.cli.ui.table import Column, LabelledLine, Table
from qcfeed.metrics.growth import GOOD_FIT, GrowthWindow, LocationGrowth
from qcfeed.metrics.growth_answer import ClaimAnswer, Growth, in_words
from qcfeed.model.history import HistoryPoint

ROWS = 10
"""The approximate number of rows of the timeline; JSON and CSV have all of it."""
TOP = 5
"""The number of locations to show without --by location."""
SPARK_WIDTH = 60
"""The width of a sparkline, in cells."""
_STEPS = (10, 30, 60, 300, 600, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800)
_DAY = 86_400


def _count(value: float) -> str:
    return f"{value:,.0f}"


def signed_size(value: float) -> str:
    """A size with its sign: ``+26.1 GiB``."""
    return ("-" if value < 0 else "+") + formats.size(abs(value)) if value else "0"


TIMELINE: Table[HistoryPoint] = Table(
    (
        Column("at", header="TIME (UTC)", show=formats.clock),
        Column("resident_bytes", header="MEMORY", show=formats.size, right=True),
        Column("live", header="LIVE TASKS", show=_count, right=True),
        Column("subscriptions", show=_count, right=True),
        Column("orphaned", header="ORPHANS", show=_count, right=True),
        Column("feed_count", header="FEEDS", show=_count, right=True, wide=True),
    ),
    identity=lambda moment: moment.at,
)

WINDOWS: Table[GrowthWindow] = Table(
    (
        Column("window"),
        Column("time_to_limit_s", header="TO LIMIT", show=formats.age, right=True),
        Column("memory_bytes_per_hour", header="MEMORY/H", show=signed_size, right=True),
        Column("r2", show=lambda r2: f"{r2:.2f}", right=True),
        Column("tasks_per_minute", header="TASKS/MIN", show=formats.signed, right=True),
        Column("tasks_r2", header="R2", show=lambda r2: f"{r2:.2f}", right=True, wide=True),
        Column("spawned_per_minute", header="SPAWNED/MIN", show=_count, right=True, rank=1),
        Column("samples", right=True),
        Column("missing_reason", header="NOTE", least=12),
    ),
    identity=lambda window: window.window,
)

LOCATIONS: Table[LocationGrowth] = Table(
    (
        Column("location", least=24),
        Column("live", show=_count, right=True),
        Column("net", show=formats.signed, right=True),
        Column("per_minute", header="NET/MIN", show=formats.signed, right=True),
        Column("share", show=lambda s: f"{s:.0%}", right=True),
    ),
    identity=lambda row: row.location,
)


def condense(timeline: Sequence[HistoryPoint]) -> list[HistoryPoint]:
    """About ROWS moments: the first of each step of round duration, and the very last.

    If the timeline is longer than a day, the times include the date.
    """
    if not timeline:
        return []
    times = [rfc3339.unix(moment.at) for moment in timeline]
    span = times[-1] - times[0]
    step = next((each for each in _STEPS if span / each <= ROWS), _STEPS[-1])
    kept = [
        moment
        for number, moment in enumerate(timeline)
        if number in (0, len(timeline) - 1) or times[number] // step != times[number - 1] // step
    ]
    return [_dated(moment) for moment in kept] if span > _DAY else kept


def _dated(moment: HistoryPoint) -> HistoryPoint:
    day, _, clock = moment.at.partition("T")
    return msgspec.structs.replace(moment, at=f"{day[5:]} {clock[:5]}")


def sparks(found: Growth, blocks: str = BLOCKS) -> Iterator[LabelledLine]:
    """Sparklines of memory and live tasks."""
    for label, values in (
        ("memory", [moment.resident_bytes for moment in found.timeline]),
        ("tasks", [moment.live for moment in found.timeline]),
    ):
        drawn = sparkline(values, SPARK_WIDTH, blocks=blocks)
        if drawn:
            yield LabelledLine(drawn, label, whole=True)


def summary(found: Growth) -> Iterator[LabelledLine]:
    """The time left by the worst window, and what else the samples show."""
    if found.worst is not None and found.limit_bytes is not None:
        fit = found.windows[0].r2 or 0.0
        yield LabelledLine(
            f"{formats.age(found.worst.time_to_limit_s)} until {formats.size(found.limit_bytes)},"
            f" {in_words(found.worst.window)}"
            + ("" if fit >= GOOD_FIT else f"; rough estimate: poor linear fit (r² {fit:.2f})"),
            "left",
            "red" if found.problems else None,
        )
    elif all(each.memory_bytes_per_hour is None for each in found.windows):
        yield LabelledLine("unknown: there are too few samples", "left")
    elif found.limit_bytes is not None:
        yield LabelledLine(
            f"memory is not growing towards {formats.size(found.limit_bytes)}", "left"
        )
    if found.accelerating:
        yield LabelledLine("the shorter the window, the faster memory grows", "speeds up", "yellow")
    if found.bytes_per_task is not None:
        yield LabelledLine(
            f"{formats.size(found.bytes_per_task)} of memory per additional task", "per task"
        )
    for claim in found.claims:
        yield from _claim(claim)
    if found.restarted_at:
        times = ", ".join(map(formats.clock, found.restarted_at))
        yield LabelledLine(f"at {times}; rates are since then", "restarted")
    if found.gaps:
        begin, end = found.gaps[-1]
        more = f", and {len(found.gaps) - 1} more" if len(found.gaps) > 1 else ""
        yield LabelledLine(
            f"from {formats.clock(begin)} to {formats.clock(end)}{more}", "no samples"
        )


def _claim(claim: ClaimAnswer) -> Iterator[LabelledLine]:
    """What an alert or a person claimed, and how the samples compare."""
    text = ": ".join(filter(None, (claim.alert, claim.text)))
    yield LabelledLine(formats.printable(text), "claimed", "yellow")
    left = claim.time_to_limit_s
    implied = "" if left is None else f": {formats.age(left)} left"
    yield LabelledLine(f"{signed_size(claim.memory_bytes_per_hour)} per hour{implied}", "it means")
    wrong = claim.slower is not None and claim.slower > 1
    if claim.slower is not None:
        yield LabelledLine(
            f"memory grows {claim.slower:,.3g} times as fast", "but" if wrong else "and"
        )
    yield LabelledLine(claim.why, "why" if wrong else "source")
