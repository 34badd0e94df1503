"""What a task waits on, as far as can be seen cheaply and from any thread."""

from __future__ import annotations

import asyncio
from types import FrameType
from typing import Any

from qcfeed.diagnostics.site import AnyTask, short_path

_SLEEP = asyncio.sleep.__code__
_DEPTH = 100
"""Frames followed at most; what waits deeper is named by the last one seen."""
_AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")
_FRAMES = ("cr_frame", "gi_frame", "ag_frame")


def state(task: AnyTask | None) -> str:
    """``sleeping``, ``running``, ``waiting: Queue.get``, ``waiting at feed.py:83 (pump)``...

    Never raises: a task that cannot be looked at is ``unknown``. Cost: 1-3 us.
    """
    if task is None:
        return "gone"
    try:
        return _state(task)
    except Exception:  # noqa: BLE001
        return "unknown"


def _state(task: AnyTask) -> str:
    if task.done():
        return "ended"
    coro = task.get_coro()
    if getattr(coro, "cr_running", False) or getattr(coro, "gi_running", False):
        return "running"
    frame = _innermost(coro)
    if frame is None:
        return "unknown"
    code = frame.f_code
    if code is _SLEEP:
        return "sleeping"
    if getattr(task, "_fut_waiter", None) is None:
        return "ready"
    if frame.f_globals.get("__name__", "").startswith("asyncio."):
        return f"waiting: {code.co_qualname}"
    return f"waiting at {short_path(code.co_filename)}:{frame.f_lineno} ({code.co_qualname})"


def _innermost(awaited: Any) -> FrameType | None:
    """The frame at the end of the chain of awaits."""
    innermost: FrameType | None = None
    for _ in range(_DEPTH):
        frame = next((f for name in _FRAMES if (f := getattr(awaited, name, None))), None)
        if frame is None:
            break
        innermost = frame
        awaited = next((a for name in _AWAITED if (a := getattr(awaited, name, None))), None)
    return innermost
