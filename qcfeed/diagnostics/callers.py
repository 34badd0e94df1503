"""Which code is asyncio's, or the ledger's own: what stands between a program and its tasks."""

from __future__ import annotations

import asyncio
import asyncio.events
import contextlib
import os
from types import CodeType, FrameType

_HERE = os.path.dirname(__file__)  # noqa: PTH120
_DIRECTORY = os.path.join(os.path.dirname(asyncio.__file__), "")  # noqa: PTH118,PTH120
_OWN = (os.path.join(_HERE, "spawn.py"), os.path.join(_HERE, "booked.py"))  # noqa: PTH118
HANDLE_RUN = asyncio.events.Handle._run.__code__  # noqa: SLF001
"""Where a callback begins: what is further out is the loop."""


def is_between(code: CodeType) -> bool:
    file = code.co_filename
    return file.startswith(_DIRECTORY) or file in _OWN or file == contextlib.__file__


def outside(frame: FrameType) -> FrameType:
    """The first caller outside the library, or the last before the loop."""
    while is_between(frame.f_code):
        caller = frame.f_back
        if caller is None or caller.f_code is HANDLE_RUN:
            break
        frame = caller
    return frame
