"""The answer to ``qcfeed stacks``."""

from __future__ import annotations

import msgspec

from qcfeed.model.answers import Answer
from qcfeed.model.task_details import Frame


class RunningTask(msgspec.Struct, kw_only=True):
    """``serial`` is null for a task that the ledger has not booked."""

    serial: int | None
    name: str


class ThreadStack(msgspec.Struct, kw_only=True):
    """One thread's calls, the innermost last; ``dropped``: outer ones that are left out.

    ``watched``: the thread of the watched loop. ``task``: what runs in it now; null for none.
    """

    name: str
    ident: int
    daemon: bool
    watched: bool
    running_task: RunningTask | None
    stack: list[Frame]
    dropped_frames: int = 0


class Stacks(Answer, kw_only=True, tag="qcfeed.stacks/2"):
    """The watched loop's thread first, then the main one, then the others."""

    threads: list[ThreadStack]
