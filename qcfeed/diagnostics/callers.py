"""The callers of a function: outside asyncio, and in the application."""

from __future__ import annotations

import asyncio
import asyncio.events
from collections.abc import Collection
from types import CodeType, FrameType
from typing import Any

from qcfeed.diagnostics.code_origin import CodeOrigin, origins

_APPLICATION, _LIBRARY, _WRAPPER, _BETWEEN = CodeOrigin
HANDLE_RUN = asyncio.events.Handle._run.__code__  # noqa: SLF001
"""The function in which a callback begins: frames further out belong to the loop."""
MAX_FRAMES = 64
"""Frames that are searched for one of the application; a library may recurse deeply."""
RUNNERS = [
    each.__code__
    for each in (
        asyncio.events.Handle._run,  # noqa: SLF001
        asyncio.Runner.run,
        asyncio.BaseEventLoop.run_until_complete,
        asyncio.BaseEventLoop.run_forever,
    )
]
"""Functions that run a loop: what calls them has not created the loop's tasks. uvloop has none of its
own frames, so ``Handle._run`` alone is not enough."""


def is_between(code: CodeType) -> bool:
    """Whether code belongs to asyncio, to these diagnostics or to contextlib."""
    return origins[code.co_filename] is _BETWEEN


def outside(frame: FrameType) -> FrameType:
    """The first frame, from ``frame`` outwards, that is not ``is_between``; the outermost one before
    the loop if there is none."""
    while origins[frame.f_code.co_filename] is _BETWEEN:
        caller = frame.f_back
        if caller is None or caller.f_code is HANDLE_RUN:
            break
        frame = caller
    return frame


class SpawnPlaces:
    """Finds the place that creates a task, from the frame that calls asyncio.

    ``through``: functions, classes or modules of the application that create tasks for their callers,
    for example ``myapp.tasks.spawn``.
    """

    def __init__(self, through: Collection[str] = ()) -> None:
        self._through = tuple(through)
        self._helpers: dict[int, tuple[CodeType, bool]] = {}
        """By ``id(code)``; the code is held, so that no other gets its id."""
        self._runners = {id(code): code for code in RUNNERS}

    def note_runner(self, task: asyncio.Task[Any] | None) -> None:
        """Remember what runs the loop: the frame below the coroutine of the task that is running.

        Where asyncio's own frame is below, it runs the loop, or the task has been started eagerly.
        """
        root = getattr(task and task.get_coro(), "cr_frame", None)
        below = getattr(root, "f_back", None)
        if below is not None and not is_between(below.f_code):
            self._runners[id(below.f_code)] = below.f_code

    def find(self, frame: FrameType) -> tuple[FrameType, FrameType | None, bool]:
        """The frame that creates the task; the nearest frame of the application, if that is another
        one; and whether the first frame alone identifies the place, whatever called it.

        Cost: 0.1 us per frame, up to the first one of the application.
        """
        library = wrapper = None
        for _ in range(MAX_FRAMES):
            origin = origins[frame.f_code.co_filename]
            if origin is _LIBRARY:
                library = library or frame  # the innermost one creates the task
            elif origin is _WRAPPER or (origin is _APPLICATION and self._is_helper(frame)):
                wrapper = wrapper or frame
            elif origin is _APPLICATION:
                return (frame, None, True) if library is None else (library, frame, False)
            outer = frame.f_back
            if outer is None or id(outer.f_code) in self._runners:
                break
            frame = outer
        known = library or wrapper
        return (frame, None, True) if known is None else (known, None, False)

    def _is_helper(self, frame: FrameType) -> bool:
        if not self._through:
            return False
        code = frame.f_code
        known = self._helpers.get(id(code))
        if known is None:
            name = f"{frame.f_globals.get('__name__')}.{code.co_qualname}"
            given = any(name == each or name.startswith(f"{each}.") for each in self._through)
            known = self._helpers[id(code)] = code, given
        return known[1]
