"""What keeps an object from waking its waiters: the holder of a lock, an awaited task, a pool's threads.

A holder that waits itself for another object has that object's holder behind it, and so on. The end of
this path is what everybody waits for; if the path comes back to itself, nobody on it can go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from qcfeed.diagnostics import awaited, chain, wait_rules, waits
from qcfeed.diagnostics.abandoned import is_rescued
from qcfeed.diagnostics.awaited import AwaitedObject
from qcfeed.diagnostics.lock_holders import LOCKS, LockHolders
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.snapshot import coroutine
from qcfeed.diagnostics.task_info import info_of
from qcfeed.diagnostics.thread_pools import ThreadPool

MAX_SHOWN = 3
"""Holders of one object that are described."""
_SORTED = 100
"""Holders of one object that are sorted by age."""
_MAX_PATH = 10
"""Holders that are followed, one behind the other."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What keeps an object from waking its waiters, and where that waits itself.

    ``how``: ``holds`` (a task inside ``async with`` on the lock or semaphore), ``is awaited`` (a task),
    ``runs`` (the threads of a pool), ``refers to it`` (a task whose coroutines have the object in a
    variable or an attribute, so it may wake the waiters).
    ``serial``, ``name``, ``coroutine`` and ``location`` (where it was created) are those of a task.
    ``serial`` is None and ``location`` empty for a task that no ledger recorded. ``waits``: what it waits
    on, and where, as ``waits.wait`` describes it. ``waits_for``: the label of the object that it waits
    for, ``Lock 3``; empty if that has no number.
    """

    how: str
    serial: int | None = None
    name: str = ""
    coroutine: str = ""
    location: str = ""
    waits: str = ""
    waits_for: str = ""

    @property
    def label(self) -> str:
        """``task 12 (pump)``: its name, or its coroutine if asyncio gave it the name. Threads: their name."""
        if self.how == "runs":
            return self.name
        name = self.coroutine if self.name.startswith("Task-") else self.name
        return f"task {name}" if self.serial is None else f"task {self.serial} ({name})"


class HolderPath(NamedTuple):
    """The holders behind a holder, nearest first.

    ``deadlock``: the path comes back to a task that is on it, every task on it waits for the next one
    alone, and no timeout of theirs or of their awaiters ends a wait: none of them can go on.
    """

    holders: tuple[Holder, ...] = ()
    deadlock: bool = False


@dataclass(frozen=True, slots=True)
class ProgramView:
    """The state of the program at this moment that is needed to describe objects and their holders.

    ``ledger``: the one whose serials and locations are used; None for any. ``locks``: None if nobody has
    searched for the holders of locks. ``names`` (object_names.py) and ``referrers`` (referrers.py) are by
    ``id()`` of an object. It keeps objects of the program alive, so use it only briefly.
    """

    pools: list[ThreadPool]
    ledger: object = None
    locks: LockHolders | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    referrers: Mapping[int, list[AnyTask]] = field(default_factory=dict)


def holders_of(found: AwaitedObject, view: ProgramView) -> tuple[tuple[Holder, ...], int]:
    """Up to MAX_SHOWN holders of an object, described, oldest first; and how many there are.

    Cost: 20 us each.
    """
    pool = next((each for each in view.pools if each.executor is found.awaited), None)
    if pool is not None:
        return (Holder("runs", name=f"threads {pool.name}", waits=pool.at()),), 1
    tasks, how = tasks_behind(found, view), _how(found)
    if not tasks:
        tasks, how = list(view.referrers.get(id(found.awaited), ())), "refers to it"
        tasks = _oldest_first(tasks, view)
    return tuple(describe(each, how, view) for each in tasks[:MAX_SHOWN]), len(tasks)


def tasks_behind(found: AwaitedObject, view: ProgramView) -> list[AnyTask]:
    """The tasks that hold an object, or that are awaited, oldest first. Cost: 1 us each."""
    thing = found.awaited
    if isinstance(thing, asyncio.Task):
        return [thing]
    if found.kind in awaited.MANY and thing is not None:
        tasks = [each for each in awaited.pending(thing) if isinstance(each, asyncio.Task)]
        return _oldest_first(tasks, view)
    if isinstance(thing, LOCKS) and view.locks is not None:
        tasks = [task for ref in view.locks.of(thing) if (task := ref()) is not None]
        return _oldest_first(tasks, view)
    return []


def _oldest_first(tasks: list[AnyTask], view: ProgramView) -> list[AnyTask]:
    """The tasks by age; of more than _SORTED tasks, the rest stays unsorted. A task that no ledger
    recorded comes first, because it is usually older than the ledger."""
    first = sorted(tasks[:_SORTED], key=lambda task: wait_rules.serial(task, view.ledger) or 0)
    return first + tasks[_SORTED:]


def path_behind(found: AwaitedObject, view: ProgramView) -> HolderPath:
    """The holders behind the first holder of an object. Cost: 25 us per holder."""
    way: list[AnyTask] = []
    described: list[Holder] = []
    is_certain = True
    following: AwaitedObject | None = found
    while following is not None and len(way) < _MAX_PATH:
        tasks = tasks_behind(following, view)
        if not tasks:
            break
        is_certain = is_certain and len(tasks) == 1 and _has_one_holder(following)
        if any(tasks[0] is each for each in way):
            rescued = any(is_rescued(each, chain.links(each.get_coro())) for each in way)
            return HolderPath(tuple(described), deadlock=is_certain and not rescued)
        if way:
            described.append(describe(tasks[0], _how(following), view))
        way.append(tasks[0])
        following = awaited.find(tasks[0], view.pools)
    return HolderPath(tuple(described))


def _has_one_holder(found: AwaitedObject) -> bool:
    """Whether no holder can have been missed. A semaphore may have others, acquired without a block."""
    thing = found.awaited
    if isinstance(thing, asyncio.Semaphore):
        return getattr(thing, "_bound_value", None) == 1
    return True


def describe(task: AnyTask, how: str, view: ProgramView) -> Holder:
    """Describe a task that holds an object. Cost: 20 us."""
    info = info_of(task, view.ledger)
    try:
        found = awaited.find(task, view.pools)
        waits_for = "" if found is None else awaited.numbered_label(found, view.ledger)
    except Exception:  # noqa: BLE001 - classes of the program may raise anything
        waits_for = ""
    return Holder(
        how=how,
        serial=None if info is None else info.serial,
        name=wait_rules.name(task),
        coroutine=coroutine(task),
        location="" if info is None else info.site.location,
        waits=str(waits.wait(task)),
        waits_for=waits_for,
    )


def _how(found: AwaitedObject) -> str:
    return "holds" if isinstance(found.awaited, LOCKS) else "is awaited"
