"""The answers about tasks that are gone. As in answers.py, which has their envelope and its rules."""

from __future__ import annotations

import msgspec

from qcfeed.model.answers import Answer
from qcfeed.model.task_details import Frame


class EndedQuery(msgspec.Struct, forbid_unknown_fields=True):
    """``site``: FILE:LINE or FILE. ``outcome``: finished, cancelled, failed, destroyed; empty: all."""

    site: str = ""
    outcome: str = ""
    limit: int = 1000


class EndedTask(msgspec.Struct, kw_only=True):
    """``ended_s``: seconds ago that its end was booked. ``lived_s``: from its spawning to then.

    ``cancels``: how often it was told to end, whatever it made of it; the last time by the task
    ``cancelled_by`` (null: by a callback, or unknown) at ``cancelled_at``.
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
    """The last that ended, the latest first. ``total``: how many have ended, of the same locations
    and outcome; ``kept``: how many of them the service remembers, however many are listed."""

    total: int
    kept: int
    tasks: list[EndedTask]


class FailuresQuery(msgspec.Struct, forbid_unknown_fields=True):
    site: str = ""
    limit: int = 100


class Raised(msgspec.Struct, kw_only=True):
    """An exception: its type and message, and the calls it came through, the innermost last.

    ``dropped``: outer calls that were not kept.
    """

    error: str
    stack: list[Frame]
    dropped_frames: int = 0


class Failure(msgspec.Struct, kw_only=True):
    """Failures of one location's tasks, of one type, raised at one line.

    ``task``: serial of the last. ``raised``: the first of them, then what caused it, and so on.
    """

    location: str
    function: str
    count: int
    first_s: float
    last_s: float
    last_serial: int
    raised: list[Raised]


class TaskFailures(Answer, kw_only=True, tag="qcfeed.tasks.failures/2"):
    """The latest first. ``kinds``: how many there are, however many are listed. ``dropped``: failures
    of further kinds, which are only counted."""

    kinds: int
    dropped_failures: int
    failures: list[Failure]
