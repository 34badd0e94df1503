"""Growth on one screen: the timeline, what each window says, which lines grow. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from qcfeed.cli.ui import formats
from qcfeed.cli.ui.sparkline import BLOCKS, sparkline
from qcfeed.cli.ui.table import Column, Line, Table
from qcfeed.metrics.growth import FIT
from qcfeed.metrics.growth_answer import ClaimAnswer, Growth, LocationRate, Moment, Rates, spoken

ROWS = 10
"""Lines of the timeline, about: all of it is in JSON and CSV."""
TOP = 5
"""Locations, without --by location."""
SPARK = 60
"""Cells of a sparkline."""
_STEPS = (10, 30, 60, 300, 600, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800)
_DAY = 86_400


def _count(value: float) -> str:
    return f"{value:,.0f}"


def signed(value: float) -> str:
    """A rate with its sign: ``+1,551``, ``-0.3``, ``0``."""
    if not value:
        return "0"
    return f"{value:+,.0f}" if abs(value) >= 10 else f"{value:+.1f}"


def signed_size(value: float) -> str:
    """Bytes with their sign: ``+26.1 GiB``."""
    return ("-" if value < 0 else "+") + formats.size(abs(value)) if value else "0"


TIMELINE: Table[Moment] = Table(
    (
        Column("at", header="TIME (UTC)", show=formats.clock),
        Column("memory_bytes", header="MEMORY", show=formats.size, right=True),
        Column("live_tasks", show=_count, right=True),
        Column("subscriptions", show=_count, right=True),
        Column("orphans", show=_count, right=True),
        Column("feeds", show=_count, right=True, wide=True),
    ),
    identity=lambda moment: moment.at,
)

WINDOWS: Table[Rates] = Table(
    (
        Column("window"),
        Column("time_to_limit_s", header="TO LIMIT", show=formats.age, right=True),
        Column("memory_bytes_per_hour", header="MEMORY/H", show=signed_size, right=True),
        Column("r2", show=lambda r2: f"{r2:.2f}", right=True),
        Column("tasks_per_minute", header="TASKS/MIN", show=signed, right=True),
        Column("tasks_r2", header="R2", show=lambda r2: f"{r2:.2f}", right=True, wide=True),
        Column("spawned_per_minute", header="SPAWNED/MIN", show=_count, right=True, rank=1),
        Column("samples", right=True),
        Column("missing", header="NOTE", least=12),
    ),
    identity=lambda window: window.window,
)

LOCATIONS: Table[LocationRate] = Table(
    (
        Column("location", least=24),
        Column("live", show=_count, right=True),
        Column("net", show=signed, right=True),
        Column("per_minute", header="NET/MIN", show=signed, right=True),
        Column("share", show=lambda s: f"{s:.0%}", right=True),
    ),
    identity=lambda row: row.location,
)


def condense(timeline: Sequence[Moment]) -> list[Moment]:
    """About ROWS moments: the first of each round step of time, and the last of all.

    Their times carry the date where the timeline is longer than a day.
    """
    if not timeline:
        return []
    times = [datetime.fromisoformat(moment.at).timestamp() for moment in timeline]
    span = times[-1] - times[0]
    step = next((each for each in _STEPS if span / each <= ROWS), _STEPS[-1])
    kept = [
        moment
        for number, moment in enumerate(timeline)
        if number in (0, len(timeline) - 1) or times[number] // step != times[number - 1] // step
    ]
    return [_dated(moment) for moment in kept] if span > _DAY else kept


def _dated(moment: Moment) -> Moment:
    day, _, clock = moment.at.partition("T")
    return Moment(
        at=f"{day[5:]} {clock[:5]}",
        memory_bytes=moment.memory_bytes,
        live_tasks=moment.live_tasks,
        subscriptions=moment.subscriptions,
        orphans=moment.orphans,
        feeds=moment.feeds,
    )


def sparks(told: Growth, blocks: str = BLOCKS) -> Iterator[Line]:
    """Memory and live tasks, a line each."""
    for label, values in (
        ("memory", [moment.memory_bytes for moment in told.timeline]),
        ("tasks", [moment.live_tasks for moment in told.timeline]),
    ):
        drawn = sparkline(values, SPARK, blocks=blocks)
        if drawn:
            yield Line(drawn, label, whole=True)


def summary(told: Growth) -> Iterator[Line]:
    """What the windows say together, the worst first, and what alerts had said."""
    if told.worst is not None and told.limit_bytes is not None:
        fit = told.windows[0].r2 or 0.0
        yield Line(
            f"{formats.age(told.worst.time_to_limit_s)} until {formats.size(told.limit_bytes)},"
            f" {spoken(told.worst.window)}"
            + ("" if fit >= FIT else f", which is no line (r2 {fit:.2f})"),
            "left",
            "red" if told.findings else None,
        )
    elif all(each.memory_bytes_per_hour is None for each in told.windows):
        yield Line("it cannot be told yet: there are too few samples", "left")
    elif told.limit_bytes is not None:
        yield Line(f"memory is not on its way to {formats.size(told.limit_bytes)}", "left")
    if told.accelerating:
        yield Line("the shorter the window, the faster memory grows", "speeds up", "yellow")
    if told.bytes_per_task is not None:
        yield Line(f"{formats.size(told.bytes_per_task)} of memory, each further one", "a task")
    for said in told.claims:
        yield from _claim(said)
    if told.restarts:
        yield Line(f"{', '.join(map(formats.clock, told.restarts))}; rates are since", "restart")
    if told.gaps:
        begin, end = told.gaps[-1]
        more = f", and {len(told.gaps) - 1} more" if len(told.gaps) > 1 else ""
        yield Line(f"from {formats.clock(begin)} to {formats.clock(end)}{more}", "no samples")


def _claim(said: ClaimAnswer) -> Iterator[Line]:
    yield Line(
        formats.printable(": ".join(filter(None, (said.alert, said.text)))), "claimed", "yellow"
    )
    implied = "" if said.time_to_limit_s is None else f": {formats.age(said.time_to_limit_s)} left"
    yield Line(f"{signed_size(said.memory_bytes_per_hour)} an hour{implied}", "it means")
    wrong = said.slower is not None and said.slower > 1
    if said.slower is not None:
        yield Line(f"memory grows {said.slower:,.3g} times as fast", "but" if wrong else "and")
    yield Line(said.why, "why" if wrong else "source")
