"""Describes groups of tasks that wait for the same object, or for one object each, as rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from qcfeed.diagnostics import awaited
from qcfeed.diagnostics.awaited import AwaitedObject
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.lock_holders import LOCKS, LockHolders, find_holders
from qcfeed.diagnostics.object_holders import HolderPath, ProgramView, path_behind
from qcfeed.diagnostics.object_names import global_names
from qcfeed.diagnostics.referrers import find_referrers
from qcfeed.diagnostics.site import AnyTask, Site
from qcfeed.diagnostics.task_info import TaskRef
from qcfeed.diagnostics.thread_pools import ThreadPool
from qcfeed.diagnostics.wait_objects import WaitObject, describe

MAX_LOCATIONS = 3
"""Spawn locations that are listed for a row."""
EARLIER = "before the ledger"
"""The location of tasks that existed before the ledger."""
_WITHOUT_HOLDER = frozenset({"Event", "Condition", "Barrier", "Queue", "future"})
"""Kinds of objects whose waiters any task may wake that refers to the object."""


_INTRODUCED = {"holds": "held by ", "refers to it": "known to "}
"""Words before a holder. An awaited task and threads need none."""


@dataclass(slots=True)
class ObjectGroup:
    """Tasks that become one row. ``ref``: one of them. ``objects``: for how many objects they wait."""

    kind: str
    ref: TaskRef
    tasks: float = 0.0
    objects: float = 0
    sites: tuple[Site | None, ...] = ()
    """Where they were created; None for tasks from before the ledger."""


@dataclass(slots=True)
class ObjectRow:
    """The tasks that wait for one object, or for one object each.

    ``tasks``: how many; from a sample, an estimate. ``objects``: 1, or for how many objects of this kind
    they wait. ``object``: described for one of the tasks; if ``objects`` is more than 1, that is an
    example, without number and state. For tasks that wait for no object its kind is ``ready`` or
    ``running``, and ``objects`` is 0. ``waiters``: how many wait by the object's own count, which no
    sample changes; None if it does not count them. ``locations``: up to three places where the tasks
    were created. ``path``: the holders behind the first holder, and whether they are in a deadlock.
    """

    tasks: int
    objects: int
    object: WaitObject
    waiters: int | None = None
    locations: list[str] = field(default_factory=list)
    path: HolderPath = field(default_factory=HolderPath)

    @property
    def holder(self) -> str:
        """The first holder and what is behind it, in words; empty if no holder is known.

        ``held by task 3 (trade) created at bot.py:7: sleeping 3.2 s at bot.py:30 trade; behind it task 9 ...``
        """
        if not self.object.holders:
            return ""
        first = self.object.holders[0]
        text = f"{_INTRODUCED.get(first.how, '')}{first.label}"
        if first.location:
            text += f" created at {first.location}"
        if self.object.holder_count > 1:
            # Tasks that refer to an object are searched in a sample, so their number says nothing.
            is_number = first.how != "refers to it"
            text += f" and {self.object.holder_count - 1:,} more" if is_number else " and others"
        if first.waits:
            text += f": {first.waits}"
        behind = self.path.holders
        if self.path.deadlock:
            text += "; deadlock with " + (", ".join(each.label for each in behind) or "itself")
        elif behind:
            text += f"; behind it {behind[-1].label}: {behind[-1].waits}"
        return f"for example {text}" if self.objects > 1 else text


class _GroupExample(NamedTuple):
    """A group, one of its tasks, and the object that this task waits for now."""

    group: ObjectGroup
    task: AnyTask
    found: AwaitedObject

    @property
    def is_one_object(self) -> bool:
        return round(self.group.objects) == 1 and self.found.awaited is not None


def describe_groups(
    ledger: Ledger, groups: list[ObjectGroup], pools: list[ThreadPool], others: list[TaskRef]
) -> tuple[list[ObjectRow], ProgramView]:
    """One row per group, in the same order, and what was found out for that.

    ``others``: unrecorded tasks, which a scan of the ledger does not list. From any thread, in slices.
    It keeps the objects of all groups alive until they are described: some milliseconds.
    Cost: 300 us per group; 1.5 us per live task if a lock is waited for, and 10 ms if an object has no
    holder by its kind.
    """
    seen = [_see(group, pools) for some in ledger.turns.slices(groups) for group in some]
    view = _view(ledger, [each for each in seen if each is not None], pools, others)
    rows = [
        _row(group, each, view)
        for some in ledger.turns.slices(list(zip(groups, seen, strict=True)), 3)
        for group, each in some
    ]
    return rows, view


def _see(group: ObjectGroup, pools: list[ThreadPool]) -> _GroupExample | None:
    """None if the task has gone on meanwhile, or waits for no object."""
    task = group.ref()
    try:
        found = awaited.find(task, pools)
    except Exception:  # noqa: BLE001 - classes of the program may raise anything
        return None
    if task is None or found is None or found.kind != group.kind:
        return None
    return _GroupExample(group, task, found)


def _view(
    ledger: Ledger, seen: list[_GroupExample], pools: list[ThreadPool], others: list[TaskRef]
) -> ProgramView:
    alone = [each.found for each in seen if each.is_one_object]
    is_locked = any(isinstance(each.found.awaited, LOCKS) for each in seen)
    locks = find_holders(ledger, others) if is_locked else None
    without = [each.awaited for each in alone if _is_without_holder(each, locks)]
    return ProgramView(
        pools=pools,
        ledger=ledger,
        locks=locks,
        names=global_names(each.awaited for each in alone),
        referrers=find_referrers(ledger, others, without),
    )


def _is_without_holder(found: AwaitedObject, locks: LockHolders | None) -> bool:
    """Whether it has no holder by its kind, or is a lock whose holder was not found."""
    if isinstance(found.awaited, LOCKS):
        return locks is not None and not locks.of(found.awaited)
    return found.kind in _WITHOUT_HOLDER


def _row(group: ObjectGroup, seen: _GroupExample | None, view: ProgramView) -> ObjectRow:
    row = ObjectRow(
        tasks=round(group.tasks),
        objects=round(group.objects),
        object=WaitObject(group.kind),
        locations=[
            EARLIER if site is None else site.location for site in group.sites[:MAX_LOCATIONS]
        ],
    )
    if seen is None:
        return row
    try:
        described = describe(seen.found, seen.task, view)
        if seen.is_one_object:
            row.waiters = awaited.waiters(seen.found)
            row.path = path_behind(seen.found, view)
        else:
            described = replace(described, number=None, state="")
    except Exception:  # noqa: BLE001 - classes of the program may raise anything
        return row
    row.object = described
    return row
