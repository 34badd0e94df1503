"""The caller of a function, outside asyncio and these diagnostics."""

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
"""The function in which a callback begins: frames further out belong to the loop."""


def is_between(code: CodeType) -> bool:
    """Whether code belongs to asyncio, to these diagnostics or to contextlib."""
    return code.co_filename.startswith(_DIRECTORIES) or code.co_filename == contextlib.__file__


def outside(frame: FrameType) -> FrameType:
    """The first frame, from ``frame`` outwards, that is not ``is_between``; the outermost one before
    the loop if there is none."""
    while is_between(frame.f_code):
        caller = frame.f_back
        if caller is None or caller.f_code is HANDLE_RUN:
            break
        frame = caller
    return frame
