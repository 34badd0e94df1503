"""A task that has ended: how it ended, and what cancelled it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import CodeType
from typing import NamedTuple


class TaskOutcome(StrEnum):
    """How a task ended. ``DESTROYED``: it was freed by the garbage collector while pending."""

    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DESTROYED = "destroyed"


class Cancellation(NamedTuple):
    """How often a task was cancelled (``times``), and what cancelled it last.

    A task may have caught these cancellations and gone on. ``by``: serial of the task that cancelled
    it; None for a callback or an untracked task. ``code`` and ``lasti``: the code that did, outside
    asyncio if possible; ``calls.of_cancel`` renders it.
    """

    times: int
    by: int | None
    code: CodeType
    lasti: int


class EndedTaskInfo(NamedTuple):
    """A task that has ended. Times are by ``time.monotonic()``.

    ``coroutine``: the qualified name of its coroutine.
    ``ended_at``: when its end was recorded, that is when the task was freed or next scanned.
    ``cancels``: None if it was not cancelled, or if another task factory created it.
    """

    serial: int
    name: str
    coroutine: str
    created_at: float
    ended_at: float
    outcome: TaskOutcome
    labels: Mapping[str, str]
    cancels: Cancellation | None
