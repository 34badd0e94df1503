"""The handlers whose answers are saved to files: a full snapshot, and the tasks as stacks."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, cast

import msgspec

from qcfeed.control.handlers.queries import PAGE, page, task_filter
from qcfeed.control.one_task import add_stacks, describe
from qcfeed.control.routes import TASKS_PROFILE, TASKS_SNAPSHOT, ReadRoute, Route
from qcfeed.control.task_source import TaskSource
from qcfeed.diagnostics import profile, snapshot
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.sampling import sample_sizes
from qcfeed.diagnostics.scan import by_site, info_of_ref
from qcfeed.diagnostics.task_info import TaskRef, to_record
from qcfeed.model.saved_tasks import (
    Place,
    ProfileQuery,
    SavedSnapshot,
    SavedTask,
    SnapshotQuery,
    TasksProfile,
    TaskStack,
)
from qcfeed.model.tasks import ByLocationQuery


def routes(ledger: Ledger, source: TaskSource) -> list[Route]:
    """The route TASKS_SNAPSHOT over ``ledger``, and ``source``, which reads it."""
    return [ReadRoute(TASKS_SNAPSHOT, SnapshotQuery, _SnapshotHandler(ledger, source).snapshot)]


def reads(source: TaskSource) -> list[ReadRoute[Any]]:
    """The route TASKS_PROFILE over ``source``. Cost: that of the filter, and 10 ms for the sample or 5 us per live task."""

    def show(query: ProfileQuery) -> TasksProfile:
        return _profile(source.profile(task_filter(query), exact=query.exact))

    return [ReadRoute(TASKS_PROFILE, ProfileQuery, show)]


class _SnapshotHandler:
    def __init__(self, ledger: Ledger, source: TaskSource) -> None:
        self._ledger = ledger
        self._source = source

    def snapshot(self, query: SnapshotQuery) -> SavedSnapshot:
        """Cost: a snapshot with waits, 15 us per listed task, and 20 us per stack.

        150 to 180 bytes remain in use per coroutine whose stack is taken (diagnostics/chain.py).
        """
        limit, with_stack = page(query.limit), page(query.stacks)
        counted = self._source.by_location()
        self._source.describe(counted.locations, ByLocationQuery(waits=True))
        now = time.monotonic()
        sites = list(by_site(self._ledger).values())
        taken = sample_sizes(list(map(len, sites)), limit)
        kept = [_oldest(self._ledger, *each) for each in zip(sites, taken, strict=True)]
        taken = sample_sizes(list(map(len, kept)), with_stack)
        stacked = {serial for some, n in zip(kept, taken, strict=True) for serial in list(some)[:n]}
        chosen = {serial: ref for some in kept for serial, ref in some.items()}
        tasks = list(self._saved([chosen[serial] for serial in sorted(chosen)], stacked, now))
        return SavedSnapshot(
            since=counted.since,
            totals=counted.totals,
            locations=counted.locations,
            tasks=cast("list[SavedTask]", tasks),
            dropped_tasks=sum(map(len, sites)) - len(chosen),
            without_stack=len(chosen) - len(stacked),
        )

    def _saved(self, refs: list[TaskRef], stacked: set[int], now: float) -> Iterator[msgspec.Raw]:
        """The tasks as JSON, encoded one by one.

        Ten thousand of them as objects would trigger a full garbage collection, which stops the watched loop.
        """
        for some in self._ledger.turns.slices(refs):
            records = [to_record(known) for ref in some if (known := info_of_ref(ref)) is not None]
            rows = snapshot.listed(self._ledger, records, now)
            for each, row in zip(records, rows, strict=True):
                saved = describe(self._ledger, each, row, now)
                if each.serial in stacked:
                    add_stacks(saved, each)
                yield msgspec.Raw(msgspec.json.encode(saved))


def _profile(taken: profile.Profile) -> TasksProfile:
    """A profile as an answer, with numbered places; if there are too many stacks, the most common ones."""
    numbers: dict[profile.ProfileCall, int] = {}

    def numbered(places: Iterable[profile.ProfileCall]) -> list[int]:
        return [numbers.setdefault(place, len(numbers)) for place in places]

    stacks_ = [
        TaskStack(
            spawn_places=numbered(stack.spawned),
            wait_places=numbered(stack.waiting),
            kind=stack.kind,
            count=tasks,
        )
        for stack, tasks in taken.stacks.most_common(PAGE)
    ]
    total = sum(stack.count for stack in stacks_)
    return TasksProfile(
        total=total,
        sampled=taken.sampled,
        places=[Place(location=place.location, function=place.function) for place in numbers],
        stacks=stacks_,
        unlisted=taken.total - total,
    )


def _oldest(ledger: Ledger, refs: list[TaskRef], number: int) -> dict[int, TaskRef]:
    """The oldest tasks of one location by serial, in order. Creates no object per task (see _saved)."""
    found: dict[int, TaskRef] = {}
    below = math.inf
    for some in ledger.turns.slices(refs):
        found |= {
            known.serial: ref
            for ref in some
            if (known := info_of_ref(ref)) is not None and known.serial < below
        }
        if len(found) > 2 * number:
            found = _first(found, number)
            below = max(found, default=0)
    return _first(found, number)


def _first(found: dict[int, TaskRef], number: int) -> dict[int, TaskRef]:
    return {serial: found[serial] for serial in sorted(found)[:number]}
