"""Who called: the first frame beyond what stands between a program and its tasks."""

from __future__ import annotations

import asyncio
import asyncio.events
import contextlib
import os
from types import CodeType, FrameType

_DIRECTORIES = tuple(
    os.path.join(os.path.dirname(path), "")  # noqa: PTH118,PTH120
    for path in (asyncio.__file__, __file__)
)
HANDLE_RUN = asyncio.events.Handle._run.__code__  # noqa: SLF001
"""Where a callback begins: what is further out is the loop."""


def is_between(code: CodeType) -> bool:
    """Whether code is asyncio's, these diagnostics' or contextlib's."""
    return code.co_filename.startswith(_DIRECTORIES) or code.co_filename == contextlib.__file__


def outside(frame: FrameType) -> FrameType:
    """The first caller outside that, or the last before the loop."""
    while is_between(frame.f_code):
        caller = frame.f_back
        if caller is None or caller.f_code is HANDLE_RUN:
            break
        frame = caller
    return frame
