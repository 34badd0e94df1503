"""The answers about orphans: the list, and the result of reaping them.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.tasks import TaskFilter


class Orphan(msgspec.Struct, kw_only=True):
    """A live task, or a subscription (then ``serial`` is null), whose owner is gone.

    ``reason``: the evidence. ``age_s``: null for a subscription, whose age is not known. ``owner_gone_s``: how
    long the owner has been gone; null if the owner does not say. ``sleeping_s``: how long the task has slept; if
    that is less than ``owner_gone_s``, the task has run since its owner left.
    """

    serial: int | None
    symbol: str | None
    location: str
    age_s: float | None
    reason: str
    owner: str = ""
    owner_gone_s: float | None = None
    sleeping_s: float | None = None


class Orphans(Answer, kw_only=True, tag="qcfeed.orphans/3"):
    """Orphans, oldest first. ``total``: all orphans, including those beyond the limit.

    ``untracked``: live tasks whose owner is not known, because the ledger did not record them.
    ``incomplete``: why there may be more, as in TaskTotals.
    """

    total: int
    untracked: int = 0
    orphans: list[Orphan]
    incomplete: list[str] = msgspec.field(default_factory=list)


class OrphansQuery(TaskFilter, kw_only=True):
    """With a filter only tasks are listed, no subscriptions.

    ``spread``: list up to ``limit`` orphans of all ages instead of the oldest.
    """

    limit: int = 1000
    spread: bool = False


class Survivor(msgspec.Struct, kw_only=True):
    """A task that is still alive after it was cancelled."""

    serial: int
    location: str
    state: str


class ReapedLocation(msgspec.Struct, kw_only=True):
    """Orphans of one spawn location. ``per_minute``: how many were created per minute until now; 0 if the leak
    has stopped, or if they were created at once."""

    location: str
    cancelled: int
    per_minute: float


class Reaped(Answer, kw_only=True, tag="qcfeed.reap/3"):
    """The result of cancelling orphans.

    ``locations``: where the orphans were created, most first. ``failed``: tasks that ended, but raised while
    they cleaned up. ``already_gone``: tasks that ended by themselves first. ``subscriptions``: orphaned
    subscriptions that were removed. ``incomplete``: why there may have been more orphans than these, as in
    TaskTotals.
    """

    cancelled: int
    survivors: list[Survivor]
    locations: list[ReapedLocation]
    failed: int
    already_gone: int
    subscriptions: int = 0
    max_stall_ms: float = 0.0
    incomplete: list[str] = msgspec.field(default_factory=list)


class ReapRequest(msgspec.Struct, forbid_unknown_fields=True):
    timeout_s: float = 10.0
    batch: int = 500
