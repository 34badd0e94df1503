"""The object that a task waits for: a lock, an event, a queue, another task, a socket, a thread pool...

``waits.py`` says in words what one task waits on. This module identifies the object, so that the tasks
that wait for the same one can be counted (by_object.py). It uses the same rules (wait_rules.py).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from qcfeed.diagnostics import thread_pools, wait_rules, waits
from qcfeed.diagnostics.object_names import name_of
from qcfeed.diagnostics.object_numbers import number_of
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import info_of
from qcfeed.diagnostics.thread_pools import ThreadPool

_KINDS: tuple[tuple[type[Any], str], ...] = (
    (asyncio.Event, "Event"),
    (asyncio.Lock, "Lock"),
    (asyncio.Semaphore, "Semaphore"),
    (asyncio.Condition, "Condition"),
    (asyncio.Barrier, "Barrier"),
    (asyncio.Queue, "Queue"),
    (asyncio.TaskGroup, "TaskGroup"),
    (asyncio.Task, "task"),
    (concurrent.futures.Executor, "thread pool"),
    (concurrent.futures.Future, "executor call"),
)
_MANY = frozenset({"wait", "TaskGroup", "gather"})
"""Kinds of waits for several futures. If one alone is pending, the task waits for that one."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What keeps an object from waking its waiters, and where that waits itself.

    ``how``: ``holds`` (it is inside ``async with`` on the lock or semaphore), ``is awaited`` (a task),
    ``runs`` (the threads of a pool), ``refers to it`` (the task's coroutines have the object in a
    variable or an attribute, so they may wake its waiters).
    ``serial``, ``name`` and ``location`` (where it was created) are those of a task; ``serial`` is None
    for a task that no ledger recorded, and ``location`` is empty. ``waits``: what it waits on, and
    where, as ``waits.wait`` says it. ``waits_for``: the object that it waits for, if that has a number,
    as ``Lock 3``.
    """

    how: str
    serial: int | None = None
    name: str = ""
    location: str = ""
    waits: str = ""
    waits_for: str = ""

    def __str__(self) -> str:
        who = self.name if self.serial is None else f"task {self.serial} ({self.name})"
        at = f" created at {self.location}" if self.location else ""
        return f"{who}{at}: {self.waits}" if self.waits else f"{who}{at}"


@dataclass(frozen=True, slots=True)
class WaitObject:
    """The object that a task waits for.

    ``kind``: ``Lock``, ``Event``, ``Queue``, ``task``, ``future``, ``timer`` (a sleep), ``socket``,
    ``thread pool``, ``gather``... ``number``: with the kind, the object's identity while it lives; for a
    task its serial. None if the object has no number: see ``find``. ``name``: the attribute in which the
    waiting task finds it, as ``Pool._lock``; empty if none is known. ``state``: for example the length
    of a queue, or how many wait. ``at``: where the task waits, ``file:line function``. ``holders``: what
    it waits for in turn, as far as that can be told without a search; by_object.py searches for the
    holders of locks.
    """

    kind: str
    number: int | None = None
    name: str = ""
    state: str = ""
    at: str = ""
    holders: tuple[Holder, ...] = ()

    @property
    def label(self) -> str:
        """``Lock 3``; without a number the kind alone."""
        return label(self.kind, self.number)

    def __str__(self) -> str:
        return f"{self.label} ({self.name})" if self.name else self.label


class Found(NamedTuple):
    """The awaited object itself. Keep it only briefly: it keeps objects of the program alive.

    ``awaited``: None if the kind of wait is known, but not the object.
    """

    kind: str
    awaited: Any
    seen: waits.Seen


def find(task: AnyTask | None, pools: list[ThreadPool] | None = None) -> Found | None:
    """The object that ``task`` waits for; None if it waits for none (it runs, is ready, or has ended).

    A task that waits for several futures (gather, ``wait``, a TaskGroup), of which one is pending, waits
    for that one. A task behind ``shield`` waits for the shielded future. A call in a thread pool is
    attributed to the pool, if that is known. ``pools``: those of ``thread_pools.pools()``.
    From any thread; may raise, because classes of the program may raise anything. Cost: 2 us.
    """
    seen = waits.look(task)
    if task is None or seen.waiter is None:
        return None
    kind, awaited = _awaited(seen)
    if kind in _MANY:
        alone = _only_pending(awaited)
        if alone is not None:
            kind, awaited = "", alone
    if isinstance(awaited, concurrent.futures.Future):
        pool = thread_pools.pool_of(awaited, pools if pools is not None else thread_pools.pools())
        awaited = awaited if pool is None else pool.executor
        kind = ""
    return Found(kind or kind_of(awaited), awaited, seen)


def wait_object(task: AnyTask | None) -> WaitObject | None:
    """The object that ``task`` waits for, described; None if it waits for none or cannot be read.

    From any thread; never raises. Cost: 20-60 us, and what ``waits.wait`` leaves behind. So call it for
    some tasks, not for all.
    """
    try:
        pools = thread_pools.pools()
        found = find(task, pools)
        if found is None or task is None:
            return None
        return describe(found, task, pools)
    except Exception:  # noqa: BLE001 - classes of the program may raise anything
        return None


def describe(
    found: Found,
    task: AnyTask,
    pools: list[ThreadPool],
    holders: Iterable[AnyTask] = (),
) -> WaitObject:
    """Describe a found object. ``task`` waits for it; ``holders``: tasks that are known to hold it."""
    held = tuple(holder(each, "holds") for each in holders)
    return WaitObject(
        kind=found.kind,
        number=number(found),
        name=name_of(found.awaited, found.seen.links),
        state=_state(found, task, pools),
        at=waits.own_line(found.seen.links),
        holders=held or tuple(_awaited_holders(found, pools)),
    )


def number(found: Found) -> int | None:
    """The object's number. A future has one only if several wait for it, and a timer never has.

    A weak reference, which a number needs, would be a sign that somebody may still complete the future.
    """
    thing = found.awaited
    if thing is None or found.kind in ("timer", "wait", "gather"):
        return None
    if isinstance(thing, asyncio.Task):
        return wait_rules.serial(thing)
    if found.kind == "future" and len(getattr(thing, "_callbacks", None) or ()) < 2:
        return None
    return number_of(thing)


def label(kind: str, number: int | None) -> str:
    """How an object is called: ``Lock 3``; without a number the kind alone."""
    return kind if number is None else f"{kind} {number}"


def holder(task: AnyTask, how: str) -> Holder:
    """Describe a task that holds an object or is awaited. Cost: 20 us."""
    info = info_of(task)
    waits_for = ""
    try:
        if (found := find(task)) is not None and (known := number(found)) is not None:
            waits_for = label(found.kind, known)
    except Exception:  # noqa: BLE001 - classes of the program may raise anything
        waits_for = ""
    return Holder(
        how=how,
        serial=None if info is None else info.serial,
        name=wait_rules.name(task),
        location="" if info is None else info.site.location,
        waits=str(waits.wait(task)),
        waits_for=waits_for,
    )


def kind_of(thing: Any) -> str:
    """The kind of an awaited object, by its type."""
    for known, kind in _KINDS:
        if isinstance(thing, known):
            return kind
    return "future" if asyncio.isfuture(thing) else "other"


def _awaited(seen: waits.Seen) -> tuple[str, Any]:
    """Kind and object. The kind is empty if the object's type tells it."""
    if seen.rule is not None:
        try:
            thing = seen.rule.find(seen.link) if seen.rule.find is not None else None
        except Exception:  # noqa: BLE001 - the objects are not as the rule expects them
            thing = None
        return _of_rule(seen, thing)
    waiter = seen.waiter
    if not isinstance(waiter, asyncio.Task) and hasattr(waiter, "_children"):
        return "gather", waiter
    return "", wait_rules.behind(waiter)


def _of_rule(seen: waits.Seen, thing: Any) -> tuple[str, Any]:
    kind = seen.kind
    if kind == "sleeping":
        return "timer", thing
    if kind.startswith(("socket", "WebSocket")):
        return "socket", thing
    if isinstance(thing, asyncio.Condition) and _reacquires(seen.links):
        return "Lock", thing._lock  # type: ignore[attr-defined]  # noqa: SLF001
    return ("" if thing is not None and kind not in _MANY else kind), thing


def _reacquires(links: list[Any]) -> bool:
    """Whether a task was notified by a condition, and waits for its lock."""
    return any(link.__qualname__ == "Lock.acquire" for link in links)


def _pending(awaited: Any) -> list[Any]:
    if isinstance(awaited, asyncio.TaskGroup):
        awaited = awaited._tasks  # noqa: SLF001
    children = getattr(awaited, "_children", awaited)
    return [each for each in tuple(children) if not each.done()]


def _only_pending(awaited: Any) -> Any:
    pending = _pending(awaited) if awaited is not None else []
    return pending[0] if len(pending) == 1 else None


def _state(found: Found, task: AnyTask, pools: list[ThreadPool]) -> str:
    thing, seen = found.awaited, found.seen
    pool = next((each for each in pools if each.executor is thing), None)
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


_SHOWN = 3
"""Pending tasks that are described, of a task that waits for many."""


def _awaited_holders(found: Found, pools: list[ThreadPool]) -> Iterable[Holder]:
    """What the object waits for in turn, as far as the object itself tells it."""
    thing = found.awaited
    pool = next((each for each in pools if each.executor is thing), None)
    if pool is not None:
        return [Holder("runs", name=f"threads {pool.name}", waits=pool.at())]
    if isinstance(thing, asyncio.Task):
        return [holder(thing, "is awaited")]
    if found.kind in _MANY and thing is not None:
        tasks = [each for each in _pending(thing) if isinstance(each, asyncio.Task)]
        return [holder(each, "is awaited") for each in tasks[:_SHOWN]]
    return []
