"""``qcfeed growth --plot``: memory with its limit and what the worst window foretells, and tasks below.

The only file that knows matplotlib, an extra (``qcfeed[plot]``): 0.5 s to import and 40 MB to install.
"""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qcfeed.errors import UsageError
from qcfeed.formats import age, size
from qcfeed.metrics.growth_answer import Growth, in_words
from qcfeed.metrics.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (".png", ".svg")
_GIB = 1 << 30
_MEMORY, _TASKS, _SUBSCRIPTIONS, _ORPHANS, _ALARM = "C0", "C1", "C2", "C4", "C3"
_FORETOLD = 0.5
"""How far beyond the last sample is drawn, at most, as a share of what came before it."""


def check(file: Path) -> None:
    """Whether ``file`` can be drawn. Raises UsageError: no such kind, no such folder, no matplotlib."""
    if file.suffix.lower() not in KINDS:
        raise UsageError(
            f"--plot {file} is neither .png nor .svg", hint="name it growth.png or growth.svg"
        )
    if not file.parent.is_dir():
        raise UsageError(f"--plot: there is no folder {file.parent}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "--plot needs matplotlib, which is not installed",
            hint="pip install 'qcfeed[plot]'; `qcfeed growth -o csv` has the figures without it",
        )


def draw(told: Timeline, found: Growth, file: Path) -> None:
    """Write the picture. Raises UsageError when the file cannot be written. Cost: a second."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    memory, tasks = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    figure.suptitle(_title(found))
    _draw_memory(memory, told, found)
    _draw_tasks(tasks, told)
    tasks.xaxis_date(UTC)
    tasks.set_xlabel("UTC")
    tasks.tick_params(axis="x", labelrotation=30)
    try:
        figure.savefig(file, dpi=120)
    except OSError as error:
        raise UsageError(f"--plot: cannot write {file}: {error.strerror}") from error


def _title(found: Growth) -> str:
    title = f"{found.target}, until {found.at}"
    if found.worst is None:
        return title
    left = age(found.worst.time_to_limit_s)
    return f"{title}\n{left} to the memory limit, {in_words(found.worst.window)}"


def _draw_memory(axes: Axes, told: Timeline, found: Growth) -> None:
    held = [(point.at, point.memory) for point in told.points if point.memory is not None]
    axes.set_ylabel("GiB")
    axes.grid(alpha=0.3)
    if not held:
        return
    axes.plot(
        [_time(at) for at, _ in held],
        [bytes_ / _GIB for _, bytes_ in held],
        _MEMORY,
        label="memory",
    )
    if told.limit is not None:
        axes.axhline(told.limit / _GIB, color=_ALARM, label=f"limit, {size(told.limit)}")
    if found.worst is not None and told.limit is not None:
        (last, now), span = held[-1], held[-1][0] - held[0][0]
        left = found.worst.time_to_limit_s
        shown = min(left, span * _FORETOLD)
        foretold = now + (told.limit - now) * (shown / left if left else 1.0)
        axes.plot(
            [_time(last), _time(last + shown)],
            [now / _GIB, foretold / _GIB],
            color=_ALARM,
            linestyle="--",
            label=in_words(found.worst.window),
        )
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")


def _draw_tasks(axes: Axes, told: Timeline) -> None:
    for label, colour, values in (
        ("live tasks", _TASKS, [(p.at, p.live) for p in told.points]),
        ("subscriptions", _SUBSCRIPTIONS, [(p.at, p.subscriptions) for p in told.points]),
        ("orphans", _ORPHANS, [(p.at, p.orphans) for p in told.points]),
    ):
        known = [(_time(at), value) for at, value in values if value is not None]
        if known:
            axes.plot([at for at, _ in known], [value for _, value in known], colour, label=label)
            axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=0)


def _time(at: float) -> float:
    """Days, as matplotlib counts them."""
    from matplotlib.dates import date2num

    return float(date2num(datetime.fromtimestamp(at, UTC)))  # type: ignore[no-untyped-call]
