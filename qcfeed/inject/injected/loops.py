"""Finds the event loops that run in this process, from the stacks of its threads."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import FrameType
from typing import Any

NONE_RUNS = (
    "no event loop runs in it",
    "only programs that use asyncio (or uvloop) can be attached; `py-spy dump --pid` shows what it does",
)
"""Message and hint for a command that needs a loop."""

_CONTROL_PLANE = "qcfeed-control"
"""The thread of the control plane (control/server.py)."""

_LOOP_OF = {
    asyncio.BaseEventLoop.run_forever.__code__: lambda frame: frame.f_locals["self"],
    # uvloop's run_forever is compiled, and has no frame.
    asyncio.Runner.run.__code__: lambda frame: frame.f_locals["self"].get_loop(),
}


def running(here: tuple[int, Any] | None) -> list[tuple[str, Any]]:
    """The name of the thread and the loop, for each running loop. ``here``: a thread and its loop, which
    comes first. The control plane's own is left out. Cost: 1 us per frame of each thread."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = [] if here is None else [(names.get(here[0], str(here[0])), here[1])]
    for ident, frame in sys._current_frames().items():  # noqa: SLF001
        if names.get(ident) == _CONTROL_PLANE:
            continue
        loop = _loop_of(frame)
        if loop is not None and all(loop is not each for _, each in found) and loop.is_running():
            found.append((names.get(ident, str(ident)), loop))
    return found


def _loop_of(frame: FrameType | None) -> Any:
    while frame is not None:
        finder = _LOOP_OF.get(frame.f_code)
        if finder is not None:
            return finder(frame)
        frame = frame.f_back
    return None
