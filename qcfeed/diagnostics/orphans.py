"""Orphans: live tasks whose owner is gone, each with the evidence."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from operator import attrgetter

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.scan import LiveTaskScan, oldest
from qcfeed.diagnostics.task_context import Owner, TaskContext
from qcfeed.diagnostics.task_info import TaskInfo, TaskRecord, TaskRef
from qcfeed.diagnostics.waits import state

_context = attrgetter("context")


@dataclass(slots=True)
class OrphanTask:
    """A live task whose owner is gone. ``gone_s``: since when, where the owner says so."""

    serial: int
    age_s: float
    gone_s: float | None
    record: TaskRecord = field(repr=False)
    owner: Owner | None = field(repr=False)

    @property
    def location(self) -> str:
        return self.record.site.location

    @property
    def evidence(self) -> str:
        """The facts in a sentence: "owner subscriber 812 of AAPL closed 12.0 s ago; task sleeping 3.2 s"."""
        since = "is gone" if self.gone_s is None else f"closed {self.gone_s:.1f} s ago"
        return f"owner {owner_name(self.owner)} {since}; task {state(self.record())}"


def refs(
    ledger: Ledger, now: float, *, grace: float = 0.0, found: list[TaskRef] | None = None
) -> list[TaskRef]:
    """Live tasks whose owner has been gone for ``grace`` seconds or more, in no particular order.

    ``now`` is ``time.monotonic()``. An owner that does not say when it closed counts at once.
    ``found``: a list to add them to instead of a new one (see long_lists.py).
    From any thread. Cost: 0.3 us a live task, in slices that let the loop run.
    """
    found = [] if found is None else found
    for held, some in LiveTaskScan(ledger):
        if gone := contexts_with_closed_owner(some, now, grace):
            found += [ref for ref, each in zip(held, some, strict=True) if each.context in gone]
    return found


def find(
    ledger: Ledger, now: float, *, grace: float = 0.0, limit: int = 10_000
) -> list[OrphanTask]:
    """The oldest of ``refs``, oldest first, each described: for lists that people read."""
    found = oldest(ledger, refs(ledger, now, grace=grace), limit)
    return [describe(record, now) for record in found]


def describe(record: TaskRecord, now: float) -> OrphanTask:
    """What is known about an orphan. Cost: 1 us; its evidence another 5."""
    age_s = max(0.0, now - record.created_at)
    return OrphanTask(record.serial, age_s, _gone_s(record.owner, now), record, record.owner)


def contexts_with_closed_owner(
    some: Collection[TaskInfo], now: float | None = None, grace: float = 0.0
) -> set[TaskContext]:
    """Of the origins of these tasks, those whose owner is gone (for ``grace`` seconds, if given).

    An owner is asked once for all that was spawned in one context.
    """
    gone = {context for context in set(map(_context, some)) if _is_gone(context.owner)}
    if now is not None and grace > 0:
        gone = {context for context in gone if _gone_for(context.owner, now) >= grace}
    return gone


def is_orphan(known: TaskInfo) -> bool:
    """Whether the task's owner is gone. Never raises: an owner that cannot say is not gone."""
    return _is_gone(known.context.owner)


def _is_gone(owner: Owner | None) -> bool:
    if owner is None:
        return False
    try:
        closed = getattr(owner, "closed", owner)
        return (closed() if callable(closed) else closed) is True
    except Exception:  # noqa: BLE001
        return False


def _gone_for(owner: Owner | None, now: float) -> float:
    gone_s = _gone_s(owner, now)
    return math.inf if gone_s is None else gone_s


def _gone_s(owner: Owner | None, now: float) -> float | None:
    try:
        closed_at = getattr(owner, "closed_at", None)
        return None if closed_at is None else max(0.0, now - closed_at)
    except Exception:  # noqa: BLE001
        return None


def owner_name(owner: Owner | None) -> str:
    """What the owner says of itself; its type where it will not say."""
    try:
        return str(owner)
    except Exception:  # noqa: BLE001
        return f"(a {type(owner).__name__})"
