"""Calls that are over, kept as code and line: of a spawning, an exception, a cancellation."""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from functools import lru_cache
from types import CodeType

from qcfeed.diagnostics.ended_task import Cancellation
from qcfeed.diagnostics.site import Frames, line_at, location_of, short_path
from qcfeed.diagnostics.stacks import Frame
from qcfeed.diagnostics.task_info import TaskInfo


def of_spawn(known: TaskInfo) -> list[Frame]:
    """What led to a task's spawning, the innermost call last; empty where it was not kept."""
    kept = reversed(getattr(known, "spawned_by", ()))
    return of_lines((code, line_at(code, lasti)) for code, lasti in kept)


def of_cancel(cancels: Cancellation) -> str:
    """``file:line (function)`` of who told a task to end last."""
    return f"{location_of(cancels.code, cancels.lasti)} ({cancels.code.co_qualname})"


def of_lines(calls: Iterable[tuple[CodeType, int]]) -> list[Frame]:
    """Calls with their source lines, as the files have them now. Cost: 5 us a call."""
    return [
        Frame(
            file=short_path(code.co_filename),
            line=line,
            function=code.co_qualname,
            source=linecache.getline(code.co_filename, line).strip() or None,
        )
        for code, line in calls
    ]


def locations(known: TaskInfo) -> tuple[tuple[str, str], ...]:
    """As ``of_spawn``, no more than ``file:line`` and function of each. Cost: 0.2 us a spawn whose
    calls were asked for before."""
    return _places(getattr(known, "spawned_by", ()))


@lru_cache(1_024)
def _places(frames: Frames) -> tuple[tuple[str, str], ...]:
    return tuple((location_of(code, lasti), code.co_qualname) for code, lasti in reversed(frames))
