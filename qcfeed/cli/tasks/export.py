"""``qcfeed tasks -o speedscope`` and ``-o collapsed``: exports live tasks for flame graphs.

A stack consists of the calls that spawned the task, ``[task]``, the calls that it waits in, and what it
waits on; its weight is the number of tasks with that stack. Format of speedscope:
https://www.speedscope.app/file-format-schema.json. Collapsed stacks have one line per stack, for
flamegraph.pl, inferno and speedscope.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer

from qcfeed import __version__, numbers
from qcfeed.cli.context import TaskFormat, say
from qcfeed.cli.saved_files import ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import emit
from qcfeed.control.routes import TASKS_PROFILE
from qcfeed.model.saved_tasks import Place, TasksProfile, TaskStack

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_TASK = "[task]"
"""The frame between the calls that spawned a task and the calls that it waits in."""


def run(
    ctx: typer.Context,
    form: TaskFormat,
    *,
    source: Path | None,
    save: Path | None,
    exact: bool,
    params: dict[str, Any],
) -> None:
    """Print the stacks of the live tasks that match, in one of the formats of _WRITERS."""
    params = params | ({"exact": True} if exact else {})
    profile, _ = ask_or_read(ctx, TASKS_PROFILE, TasksProfile, source=source, save=save, **params)
    if not profile.total:
        say("no live task matches")
    elif sample := _sample(profile):
        say(f"{sample}: the stacks of each location are scaled up to all its tasks")
    if profile.unlisted:
        say(f"{formats.plural(profile.unlisted, 'task')} with the rarest stacks are left out")
    emit(_WRITERS[form](profile))


def speedscope(profile: TasksProfile) -> str:
    """A speedscope file with two profiles: one by spawn and wait, one by wait only."""
    frames = [_frame(place) for place in profile.places]
    extra: dict[str, int] = {}

    def number(name: str) -> int:
        return extra.setdefault(name, len(frames) + len(extra))

    whole = [
        [*stack.spawn_places, number(_TASK), *stack.wait_places, number(stack.kind)]
        for stack in profile.stacks
    ]
    waits = [[*stack.wait_places, number(stack.kind)] for stack in profile.stacks]
    weights = [stack.count for stack in profile.stacks]
    title = f"tasks of {profile.instance} at {profile.taken_at}"
    if sample := _sample(profile):
        title += f" ({sample})"
    file = {
        "$schema": _SCHEMA,
        "exporter": f"qcfeed {__version__}",
        "name": title,
        "activeProfileIndex": 0,
        "shared": {"frames": [*frames, *({"name": name} for name in extra)]},
        "profiles": [
            _profile(f"by spawn and wait: {title}", whole, weights),
            _profile(f"by wait: {title}", waits, weights),
        ],
    }
    return formats.printable_json(msgspec.json.encode(file))


def collapsed(profile: TasksProfile) -> str:
    """One line per stack: its frames separated by semicolons, outermost first, and its task count."""
    return "\n".join(
        f"{';'.join(_names(profile, stack))} {stack.count}" for stack in profile.stacks
    )


_WRITERS: dict[TaskFormat, Callable[[TasksProfile], str]] = {
    TaskFormat.SPEEDSCOPE: speedscope,
    TaskFormat.COLLAPSED: collapsed,
}


def _names(profile: TasksProfile, stack: TaskStack) -> Iterator[str]:
    places = profile.places
    yield from (_named(places[number]) for number in stack.spawn_places)
    yield _TASK
    yield from (_named(places[number]) for number in stack.wait_places)
    yield stack.kind


def _named(place: Place) -> str:
    """``function (file:line)``, without the semicolons that separate frames."""
    text = f"{place.function} ({place.location})" if place.function else place.location
    return formats.printable(text).replace(";", ":")


def _frame(place: Place) -> dict[str, Any]:
    file, _, text = place.location.rpartition(":")
    frame: dict[str, Any] = {"name": place.function or place.location}
    if file and (line := numbers.whole(text, sys.maxsize)) is not None:
        frame |= {"file": file, "line": line}
    return frame


def _profile(name: str, samples: list[list[int]], weights: list[int]) -> dict[str, Any]:
    return {
        "type": "sampled",
        "name": name,
        "unit": "none",
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }


def _sample(profile: TasksProfile) -> str:
    """``sampled: 500 of 47,829``; empty if all tasks were read."""
    if profile.sampled >= profile.total:
        return ""
    return f"sampled: {profile.sampled:,} of {profile.total:,}"
