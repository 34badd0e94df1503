"""Which task holds a lock. asyncio does not record it, but the task's coroutines show it.

A suspended ``async with lock`` holds the lock's exit method. Locks that are held by an async generator
of the task are found as well, such as one behind ``@asynccontextmanager``. A lock that was acquired by
``await lock.acquire()`` cannot be seen: its holder is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import AsyncGeneratorType, FunctionType, MethodType
from typing import Any, NamedTuple

from qcfeed.diagnostics import chain
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.scan import LiveTaskScan
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import TaskRef, task_of

LOCKS = (asyncio.Lock, asyncio.Semaphore)
"""The types whose holders are found. A condition is held by its lock."""

MAX_TASKS = 100_000
"""Tasks that are searched at most."""
_MAX_HOLDERS = 100
"""Holders of one lock that are kept: a semaphore may have thousands."""
_MAX_GENERATORS = 20
"""Async generators of one task that are followed."""
_ACQUIRING = frozenset({"_ContextManagerMixin.__aenter__", "Semaphore.__aenter__"})
"""Functions in which the exit method is on the stack already, but the lock is not held yet."""


class LockHolders(NamedTuple):
    """``by_lock``: the tasks that hold a lock, by its ``id()``. ``searched`` of ``live`` tasks were searched.

    An ``id()`` is meaningful only while the caller keeps the lock alive.
    """

    by_lock: dict[int, list[TaskRef]]
    searched: int
    live: int

    def of(self, lock: object) -> list[TaskRef]:
        """The tasks that hold this lock, as far as they were found."""
        return self.by_lock.get(id(lock), [])


def find_holders(ledger: Ledger) -> LockHolders:
    """The tasks that hold locks and semaphores, among the ledger's live tasks.

    From any thread, in slices. Cost: 3 us per live task.
    """
    found: dict[int, list[TaskRef]] = {}
    scan = LiveTaskScan(ledger)
    searched = 0
    for refs, some in scan:
        if searched >= MAX_TASKS:
            continue  # count the rest
        searched += len(some)
        for ref, info in zip(refs, some, strict=True):
            for lock in held_by(task_of(info)):
                known = found.setdefault(id(lock), [])
                if len(known) < _MAX_HOLDERS:
                    known.append(ref)
    return LockHolders(found, searched, scan.live)


def held_by(task: AnyTask | None) -> list[Any]:
    """The locks and semaphores that a suspended task holds by ``async with``, one entry for each block.

    From any thread; never raises. Cost: 2 us.
    """
    try:
        return [] if task is None else _held_by(chain.links(task.get_coro()))
    except Exception:  # noqa: BLE001 - a task class of the program may raise anything
        return []


def _held_by(links: list[Any]) -> list[Any]:
    found = [lock for each in _with_generators(links) for lock in _exits(each)]
    for lock in _not_held(links) if found else ():
        place = next((n for n, each in enumerate(found) if each is lock), None)
        if place is not None:
            del found[place]
    return found


def _with_generators(links: list[Any]) -> Iterator[Any]:
    """The links, and the suspended async generators that they hold, directly or by a context manager."""
    seen = {id(link) for link in links}
    following = list(links)
    yield from links
    while following and len(seen) < len(links) + _MAX_GENERATORS:
        for generator in _generators(following.pop()):
            if id(generator) not in seen:
                seen.add(id(generator))
                following.append(generator)
                yield generator


def _generators(link: Any) -> Iterator[AsyncGeneratorType[Any, Any]]:
    for thing in chain.held(link):
        # The exit method of an @asynccontextmanager is bound to the object that has the generator. From
        # Python 3.14 on that object itself is held.
        manager = chain.bound_to(thing) if _is_exit(thing) else thing
        found = thing if type(thing) is AsyncGeneratorType else _generator(manager)
        if type(found) is AsyncGeneratorType:
            yield found


def _generator(manager: Any) -> Any:
    is_one = type(manager).__name__ == "_AsyncGeneratorContextManager"
    return getattr(manager, "gen", None) if is_one else None


def _exits(link: Any) -> Iterator[Any]:
    """The locks whose exit methods a link holds."""
    after_function = False
    for thing in chain.held(link):
        if after_function and (lock := _lock(thing)) is not None:
            yield lock
        after_function = type(thing) is FunctionType and _is_exit(thing)
        if type(thing) is MethodType and _is_exit(thing):
            lock = _lock(thing.__self__)
            if lock is not None:
                yield lock


def _is_exit(thing: Any) -> bool:
    return type(thing) in (MethodType, FunctionType) and thing.__name__ == "__aexit__"


def _lock(thing: Any) -> Any:
    if isinstance(thing, asyncio.Condition):
        thing = thing._lock  # type: ignore[attr-defined]  # noqa: SLF001
    return thing if isinstance(thing, LOCKS) else None


def _not_held(links: list[Any]) -> Iterator[Any]:
    """The locks of blocks that are being entered, and those that ``Condition.wait`` has released."""
    for link in links:
        name = link.__qualname__
        if name in _ACQUIRING or name == "Condition.wait":
            for thing in chain.held(link):
                lock = _lock(thing)
                if lock is not None:
                    yield lock
                    break
