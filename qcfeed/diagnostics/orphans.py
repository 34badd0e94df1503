"""Orphans: live tasks whose owner is gone, each with the evidence."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeVar

from qcfeed.diagnostics.spawn import Ledger, Owner, Record
from qcfeed.diagnostics.waits import state

Item = TypeVar("Item")

SLICE = 2_000
"""Records looked at before the other threads are let in."""
_PAUSE = 50e-6
"""Seconds between slices. sleep(0) returns before a waiting thread has woken to take the GIL."""


@dataclass(slots=True)
class OrphanTask:
    """A live task whose owner is gone. ``gone_s``: since when, where the owner says so."""

    serial: int
    age_s: float
    gone_s: float | None
    record: Record = field(repr=False)
    owner: Owner = field(repr=False)

    @property
    def location(self) -> str:
        return self.record.site.location

    @property
    def evidence(self) -> str:
        """The facts in a sentence: "owner subscriber 812 of AAPL closed 12.0 s ago; task sleeping"."""
        since = "is gone" if self.gone_s is None else f"closed {self.gone_s:.1f} s ago"
        return f"owner {_describe(self.owner)} {since}; task {state(self.record.task)}"


def find(ledger: Ledger, now: float, *, grace: float = 0.0) -> list[OrphanTask]:
    """Live tasks whose owner has been gone for ``grace`` seconds or more, oldest first.

    ``now`` is ``time.monotonic()``. An owner that does not say when it closed counts at once.
    From any thread. Cost: 0.2 us a live task, 1 us an orphan, in slices that let the loop run.
    """
    sites = (list(site.live.values()) for site in ledger.sites())
    found = [_orphans(in_slices(records), now, grace) for records in sites]
    return list(heapq.merge(*found, key=attrgetter("serial")))


def is_orphan(record: Record) -> bool:
    """Whether the record's owner is gone. Never raises: an owner that cannot say is not gone."""
    owner = record.owner
    if owner is None:
        return False
    try:
        return _closed(owner) is True
    except Exception:  # noqa: BLE001
        return False


def in_slices(items: Iterable[Item]) -> Iterator[Item]:
    """The items, with the GIL given away every SLICE of them: the watched loop must not wait."""
    for n, item in enumerate(items, 1):
        yield item
        if n % SLICE == 0:
            time.sleep(_PAUSE)


def _closed(owner: Owner) -> object:
    closed = getattr(owner, "closed", None)
    return owner() if closed is None and callable(owner) else closed


def _orphans(records: Iterable[Record], now: float, grace: float) -> list[OrphanTask]:
    found = []
    for record in records:
        owner = record.owner
        if owner is None or not is_orphan(record):
            continue
        gone_s = _gone_s(owner, now)
        if gone_s is None or gone_s >= grace:
            age_s = now - record.born
            found.append(OrphanTask(record.serial, age_s, gone_s, record, owner))
    return found


def _gone_s(owner: Owner, now: float) -> float | None:
    try:
        closed_at = getattr(owner, "closed_at", None)
        return None if closed_at is None else max(0.0, now - closed_at)
    except Exception:  # noqa: BLE001
        return None


def _describe(owner: Owner) -> str:
    try:
        return str(owner)
    except Exception:  # noqa: BLE001
        return f"(a {type(owner).__name__})"
