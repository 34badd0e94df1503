"""The answers about tasks that have ended.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.task_details import CallFrame


class EndedQuery(msgspec.Struct, forbid_unknown_fields=True):
    """``site``: FILE:LINE or FILE. ``outcome``: finished, cancelled, failed or destroyed; empty for all."""

    site: str = ""
    outcome: str = ""
    limit: int = 1000


class EndedTask(msgspec.Struct, kw_only=True):
    """A task that has ended. ``ended_ago_s``: how long ago; ``lifetime_s``: from its creation to its end.

    ``cancels``: how often it was cancelled, whether or not it ended because of that; the last time at
    ``cancelled_at`` by the task with the serial ``cancelled_by`` (null: by a callback, or unknown).
    """

    serial: int
    name: str
    location: str
    outcome: str
    lifetime_s: float
    ended_ago_s: float
    labels: dict[str, str]
    cancels: int = 0
    cancelled_by: int | None = None
    cancelled_at: str = ""


class TasksEnded(Answer, kw_only=True, tag="qcfeed.tasks.ended/2"):
    """The tasks that ended last, latest first.

    ``total``: how many tasks of the same locations and outcome have ended. ``kept``: how many of them the
    service remembers, including those beyond the limit.
    """

    total: int
    kept: int
    tasks: list[EndedTask]


class FailuresQuery(msgspec.Struct, forbid_unknown_fields=True):
    site: str = ""
    limit: int = 100


class RaisedException(msgspec.Struct, kw_only=True):
    """An exception: its type and message, and the calls it passed through, innermost last.

    ``dropped_frames``: outer calls that were not kept.
    """

    error: str
    stack: list[CallFrame]
    dropped_frames: int = 0


class TaskFailure(msgspec.Struct, kw_only=True):
    """Failures of tasks from one location, of one type, raised at one line.

    ``first_s`` and ``last_s``: how long ago. ``last_serial``: serial of the last task that failed so.
    ``raised``: the exception, then its cause, and so on.
    """

    location: str
    function: str
    count: int
    first_s: float
    last_s: float
    last_serial: int
    raised: list[RaisedException]


class TaskFailures(Answer, kw_only=True, tag="qcfeed.tasks.failures/2"):
    """Failures, latest first. ``kinds``: how many kinds there are, including those beyond the limit.

    ``dropped_failures``: failures of further kinds, which are only counted.
    """

    kinds: int
    dropped_failures: int
    failures: list[TaskFailure]
