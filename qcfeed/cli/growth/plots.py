"""``qcfeed growth --plot``: plots memory with its limit and forecast, and below it the tasks.

Only this module imports matplotlib, an extra (``qcfeed[plot]``) of 40 MB that takes 0.5 s to import.
"""

from __future__ import annotations

import importlib.util
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qcfeed.cli import output_files
from qcfeed.errors import UsageError
from qcfeed.formats import age, size
from qcfeed.metrics.growth_answer import Growth, in_words
from qcfeed.metrics.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
_GIB = 1 << 30
_MEMORY, _TASKS, _SUBSCRIPTIONS, _ORPHANS, _ALARM = "C0", "C1", "C2", "C4", "C3"
_FORECAST_SHARE = 0.5
"""The longest forecast to draw, as a share of the time that the samples cover."""


def check(file: Path, *, force: bool) -> None:
    """Raise UsageError without matplotlib or for another suffix, and what output_files.check does."""
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"--plot {file} is neither .png nor .svg", hint="name it growth.png or growth.svg"
        )
    output_files.check(file, force=force)
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "--plot needs matplotlib, which is not installed",
            hint="pip install 'qcfeed[plot]'; `qcfeed growth -o csv` prints the data without it",
        )


def draw(samples: Timeline, found: Growth, file: Path, *, force: bool) -> None:
    """Write the plot. Raises what output_files.write does. Takes about a second."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    memory, tasks = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    figure.suptitle(_title(found))
    _draw_memory(memory, samples, found)
    _draw_tasks(tasks, samples)
    tasks.xaxis_date(UTC)
    tasks.set_xlabel("UTC")
    tasks.tick_params(axis="x", labelrotation=30)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=file.suffix.lower().removeprefix("."), dpi=120)
    output_files.write(file, drawn.getvalue(), force=force)


def _title(found: Growth) -> str:
    title = f"{found.target}, until {found.at}"
    if found.worst is None:
        return title
    left = age(found.worst.time_to_limit_s)
    return f"{title}\n{left} to the memory limit, {in_words(found.worst.window)}"


def _draw_memory(axes: Axes, samples: Timeline, found: Growth) -> None:
    memory = [(point.at, point.memory) for point in samples.points if point.memory is not None]
    axes.set_ylabel("GiB")
    axes.grid(alpha=0.3)
    if not memory:
        return
    axes.plot(
        [_time(at) for at, _ in memory],
        [bytes_ / _GIB for _, bytes_ in memory],
        _MEMORY,
        label="memory",
    )
    if samples.limit is not None:
        axes.axhline(samples.limit / _GIB, color=_ALARM, label=f"limit, {size(samples.limit)}")
    if found.worst is not None and samples.limit is not None:
        (last, now), span = memory[-1], memory[-1][0] - memory[0][0]
        left = found.worst.time_to_limit_s
        shown = min(left, span * _FORECAST_SHARE)
        forecast = now + (samples.limit - now) * (shown / left if left else 1.0)
        axes.plot(
            [_time(last), _time(last + shown)],
            [now / _GIB, forecast / _GIB],
            color=_ALARM,
            linestyle="--",
            label=in_words(found.worst.window),
        )
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")


def _draw_tasks(axes: Axes, samples: Timeline) -> None:
    for label, colour, values in (
        ("live tasks", _TASKS, [(p.at, p.live) for p in samples.points]),
        ("subscriptions", _SUBSCRIPTIONS, [(p.at, p.subscriptions) for p in samples.points]),
        ("orphans", _ORPHANS, [(p.at, p.orphans) for p in samples.points]),
    ):
        known = [(_time(at), value) for at, value in values if value is not None]
        if known:
            axes.plot([at for at, _ in known], [value for _, value in known], colour, label=label)
            axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=0)


def _time(at: float) -> float:
    """A Unix time in matplotlib's unit, days."""
    from matplotlib.dates import date2num

    return float(date2num(datetime.fromtimestamp(at, UTC)))  # type: ignore[no-untyped-call]
