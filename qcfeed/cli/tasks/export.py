"""``qcfeed tasks -o speedscope`` and ``-o collapsed``: the live tasks as flame graphs.

A stack is how a task came to be, then ``[task]``, then where it waits and on what; its weight is the
number of tasks. speedscope's form: https://www.speedscope.app/file-format-schema.json. Collapsed
stacks, a line a stack, are what flamegraph.pl, inferno and speedscope read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer

from qcfeed import __version__
from qcfeed.cli.context import TaskFormat, say
from qcfeed.cli.saved_files import ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import emit
from qcfeed.control.routes import TASKS_PROFILE
from qcfeed.model.saved_tasks import Place, TasksProfile, TaskStack

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_TASK = "[task]"
"""Stands between the calls that spawned a task and those that it waits in."""


def run(
    ctx: typer.Context,
    form: TaskFormat,
    *,
    source: Path | None,
    save: Path | None,
    exact: bool,
    which: dict[str, Any],
) -> None:
    """Print the stacks of the live tasks that match in a form of _WRITERS."""
    params = which | ({"exact": True} if exact else {})
    profile, _ = ask_or_read(ctx, TASKS_PROFILE, TasksProfile, source=source, target=save, **params)
    if not profile.total:
        say("no live task matches")
    elif sample := _sample(profile):
        say(f"{sample}: each location's stacks stand for the rest of it")
    if profile.unlisted:
        say(f"{formats.plural(profile.unlisted, 'task')} of the rarest stacks are left out")
    emit(_WRITERS[form](profile))


def speedscope(profile: TasksProfile) -> str:
    """A file for speedscope, with two profiles: by spawn and wait, and by wait alone."""
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
    return msgspec.json.encode(file).decode()


def collapsed(profile: TasksProfile) -> str:
    """A line a stack: its frames with semicolons between, outermost first, and its tasks."""
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
    """``function (file:line)``; what the form has for its own is replaced."""
    text = f"{place.function} ({place.location})" if place.function else place.location
    return formats.printable(text).replace(";", ":")


def _frame(place: Place) -> dict[str, Any]:
    file, _, line = place.location.rpartition(":")
    frame: dict[str, Any] = {"name": place.function or place.location}
    if file and line.isdecimal():
        frame |= {"file": file, "line": int(line)}
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
    """``sampled: 500 of 47,829``; empty when it is no sample."""
    if profile.sampled >= profile.total:
        return ""
    return f"sampled: {profile.sampled:,} of {profile.total:,}"
