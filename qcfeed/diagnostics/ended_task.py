"""One task that is gone: how it ended, and who told it to."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import CodeType
from typing import NamedTuple


class Outcome(StrEnum):
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DESTROYED = "destroyed"


class Cancellation(NamedTuple):
    """``times`` that a task was told to end, whatever it made of it, and who told it last.

    ``by``: serial of the task that did; None for a callback, or a task that is not on the books.
    ``code`` and ``lasti``: where, outside asyncio if it came from there; ``calls.of_cancel`` says it.
    """

    times: int
    by: int | None
    code: CodeType
    lasti: int


class EndedTaskInfo(NamedTuple):
    """One task that is gone. Times are ``time.monotonic()``.

    ``ended_at``: when its end was booked, which is when it was let go of or next looked at.
    ``cancels``: who told it to end, if anybody did; None too for tasks of another factory's.
    """

    serial: int
    name: str
    created_at: float
    ended_at: float
    outcome: Outcome
    labels: Mapping[str, str]
    cancels: Cancellation | None
