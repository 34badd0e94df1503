"""The object that a task waits for, described: what it is, its name and state, and who holds it.

awaited.py finds the object, object_holders.py its holders. by_object.py counts the tasks that wait for
the same object.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from qcfeed.diagnostics import awaited, thread_pools, wait_rules, waits
from qcfeed.diagnostics.awaited import AwaitedObject
from qcfeed.diagnostics.object_holders import Holder, ProgramView, holders_of
from qcfeed.diagnostics.object_names import attribute_name, global_names
from qcfeed.diagnostics.site import AnyTask


@dataclass(frozen=True, slots=True)
class WaitObject:
    """The object that a task waits for.

    ``kind``: ``Lock``, ``Event``, ``Queue``, ``task``, ``future``, ``timer`` (a sleep), ``socket``,
    ``thread pool``, ``gather``... ``number``: with the kind, the object's identity while it lives; for a
    task its serial. None if the object has no number: see ``find``. ``name``: the attribute in which the
    waiting task finds it, as ``Pool._lock``; empty if none is known. ``state``: for example the length
    of a queue, or how many wait. ``at``: where the task waits, ``file:line function``. ``holders``: what
    it waits for in turn, as far as that is known without a search; by_object.py searches for the
    holders of locks.
    """

    kind: str
    number: int | None = None
    name: str = ""
    state: str = ""
    at: str = ""
    holders: tuple[Holder, ...] = ()
    holder_count: int = 0

    @property
    def label(self) -> str:
        """``Lock 3``; without a number the kind alone."""
        return awaited.label(self.kind, self.number)

    def __str__(self) -> str:
        return f"{self.label} ({self.name})" if self.name else self.label


def wait_object(task: AnyTask | None, view: ProgramView | None = None) -> WaitObject | None:
    """The object that ``task`` waits for, described; None if it waits for none or cannot be read.

    ``view``: with ``locks``, the holders of locks are known too (``lock_holders.find_holders``).
    From any thread; never raises. Cost: 20-60 us, 1 ms per 10,000 global variables of the program, and
    what ``waits.wait`` leaves behind. So call it for some tasks, not for all.
    """
    try:
        view = view or ProgramView(thread_pools.pools())
        found = awaited.find(task, view.pools)
        if found is None or task is None:
            return None
        return describe(found, task, replace(view, names=global_names([found.awaited])))
    except Exception:  # noqa: BLE001 - classes of the program may raise anything
        return None


def describe(found: AwaitedObject, task: AnyTask, view: ProgramView) -> WaitObject:
    """Describe the object that ``task`` waits for. May raise. Cost: 20-60 us."""
    links = found.seen.links
    holders, count = holders_of(found, view)
    return WaitObject(
        kind=found.kind,
        number=awaited.number(found, view.ledger),
        name=attribute_name(found.awaited, links) or view.names.get(id(found.awaited), ""),
        state=_state(found, task, view),
        at=waits.own_line(links),
        holders=holders,
        holder_count=count,
    )


def _state(found: AwaitedObject, task: AnyTask, view: ProgramView) -> str:
    thing, seen = found.awaited, found.seen
    pool = next((each for each in view.pools if each.executor is thing), None)
    if pool is not None:
        return pool.describe()
    if isinstance(thing, asyncio.Lock):
        return f"{'locked' if thing.locked() else 'free'}, {_waiting(thing)} waiting"
    if isinstance(thing, asyncio.Semaphore):
        return f"{thing._value} free, {_waiting(thing)} waiting"  # noqa: SLF001
    if isinstance(thing, asyncio.Task) or found.kind == "future":
        return ""
    if seen.rule is not None:
        try:
            return seen.rule.detail(seen.link, task)
        except Exception:  # noqa: BLE001 - the objects are not as the rule expects them
            return ""
    return wait_rules.of_future(seen.waiter)[1]


def _waiting(lock: Any) -> int:
    return len(lock._waiters or ())  # noqa: SLF001
