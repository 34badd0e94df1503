"""The answer to ``qcfeed stacks``."""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.task_details import CallFrame


class RunningTask(msgspec.Struct, kw_only=True):
    """The task that a thread runs. ``serial``: null for a task that the ledger does not know."""

    serial: int | None
    name: str


class ThreadStack(msgspec.Struct, kw_only=True):
    """The calls of one thread, innermost last. ``dropped_frames``: outer calls that are left out.

    ``watched``: whether the watched loop runs in this thread. ``running_task``: null if no task runs.
    """

    name: str
    ident: int
    daemon: bool
    watched: bool
    running_task: RunningTask | None
    stack: list[CallFrame]
    dropped_frames: int = 0


class Stacks(Answer, kw_only=True, tag="qcfeed.stacks/2"):
    """The stacks of all threads: the watched loop's first, then the main thread, then the others."""

    threads: list[ThreadStack]
