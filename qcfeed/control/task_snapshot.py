"""The routes whose answers are kept: all of one moment, and the tasks as stacks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import cast

import msgspec

from qcfeed.control.answers import ByLocationQuery, Task, TasksByLocation
from qcfeed.control.routes import TASKS_PROFILE, TASKS_SNAPSHOT, Read, Route
from qcfeed.control.saved_answers import (
    Place,
    ProfileQuery,
    SavedTask,
    Snapshot,
    SnapshotQuery,
    TasksProfile,
    TaskStack,
)
from qcfeed.control.task_details import PAGE, add_cancels, awaited_by, frames, page, task_filter
from qcfeed.diagnostics import awaiters, calls, census, orphans, profile, stacks, waits
from qcfeed.diagnostics.booked import Record
from qcfeed.diagnostics.reading import by_site, oldest
from qcfeed.diagnostics.shares import shares
from qcfeed.diagnostics.spawn import Ledger


def routes(
    ledger: Ledger, by_location: Callable[[ByLocationQuery], TasksByLocation]
) -> list[Route]:
    """TASKS_SNAPSHOT and TASKS_PROFILE over ``ledger``; ``by_location`` as its own route has it."""
    views = _Views(ledger, by_location)
    return [
        Read(TASKS_SNAPSHOT, SnapshotQuery, views.snapshot),
        Read(TASKS_PROFILE, ProfileQuery, views.profile),
    ]


class _Views:
    def __init__(
        self, ledger: Ledger, by_location: Callable[[ByLocationQuery], TasksByLocation]
    ) -> None:
        self._ledger = ledger
        self._by_location = by_location

    def snapshot(self, query: SnapshotQuery) -> Snapshot:
        """Cost: a census with waits, 15 us each task that is listed, 20 us a stack.

        150-180 B stay with each coroutine of those whose stack is taken (diagnostics/chain.py).
        """
        limit, with_stack = page(query.limit), page(query.stacks)
        counted = self._by_location(ByLocationQuery(waits=True))
        now = time.monotonic()
        found = list(by_site(self._ledger).values())
        taken = shares(list(map(len, found)), limit)
        kept = [oldest(self._ledger, *each) for each in zip(found, taken, strict=True)]
        taken = shares(list(map(len, kept)), with_stack)
        stacked = {r.serial for some, n in zip(kept, taken, strict=True) for r in some[:n]}
        chosen = sorted((r for some in kept for r in some), key=attrgetter("serial"))
        tasks = list(self._saved(chosen, stacked, now))
        return Snapshot(
            since=counted.since,
            totals=counted.totals,
            locations=counted.locations,
            failure=counted.failure,
            tasks=cast("list[SavedTask]", tasks),
            dropped=sum(map(len, found)) - len(chosen),
            without_stack=len(chosen) - len(stacked),
        )

    def profile(self, query: ProfileQuery) -> TasksProfile:
        """Cost: what the filter takes, 10 ms for the sample, or 5 us a live task."""
        which = task_filter(query)
        return told(profile.take(self._ledger, which, time.monotonic(), exact=query.exact))

    def _saved(self, records: list[Record], stacked: set[int], now: float) -> Iterator[msgspec.Raw]:
        """The tasks as JSON, each at once: ten thousand of them as objects would set off a full
        garbage collection, which stops the watched loop."""
        for some in self._ledger.slices(records):
            for record, row in zip(some, census.listed(self._ledger, some, now), strict=True):
                saved = _described(self._ledger, record, row, now)
                if record.serial in stacked:
                    _add_stacks(saved, record)
                yield msgspec.Raw(msgspec.json.encode(saved))


def told(taken: profile.Profile) -> TasksProfile:
    """A profile as its answer, the places numbered; of too many stacks, the commonest."""
    numbers: dict[profile.Place, int] = {}

    def numbered(places: Iterable[profile.Place]) -> list[int]:
        return [numbers.setdefault(place, len(numbers)) for place in places]

    stacks_ = [
        TaskStack(
            spawned=numbered(stack.spawned),
            waiting=numbered(stack.waiting),
            kind=stack.kind,
            tasks=tasks,
        )
        for stack, tasks in taken.stacks.most_common(PAGE)
    ]
    total = sum(stack.tasks for stack in stacks_)
    return TasksProfile(
        total=total,
        sampled=taken.sampled,
        places=[Place(location=place.location, function=place.function) for place in numbers],
        stacks=stacks_,
        left_out=taken.total - total,
    )


def _described(ledger: Ledger, record: Record, row: census.LiveTask, now: float) -> SavedTask:
    task, owner = record(), record.owner
    saved = SavedTask(
        **{field: getattr(row, field) for field in Task.__struct_fields__},
        kind=waits.kind(task),
        function=record.site.function,
        owner=None if owner is None else orphans.name(owner),
    )
    if orphans.is_orphan(record):
        saved.owner_gone = True
        saved.owner_gone_s = orphans.describe(record, now).gone_s
    add_cancels(saved, record)
    if task is not None:
        saved.awaited_by = awaited_by(ledger, task)
        saved.cancelling = task.cancelling()
        saved.shielded = awaiters.is_shielded(task)
        saved.main = awaiters.is_main(task)
    return saved


def _add_stacks(saved: SavedTask, record: Record) -> None:
    task = record()
    saved.stack = [] if task is None else frames(stacks.task_stack(task))
    if spawned := calls.of_spawn(record):
        saved.spawn_stack = frames(spawned)
