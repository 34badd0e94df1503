"""Which task holds a lock. asyncio does not record it, but the task's coroutines show it.

A suspended ``async with lock`` holds the lock's exit method. Locks that are held by an async generator
of the task are found as well, such as one behind ``@asynccontextmanager``. A lock that was acquired by
``await lock.acquire()`` cannot be seen: its holder is unknown.
"""

# ruff: noqa: SLF001 - asyncio and contextlib have no public access to what is inside a block.

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from opcode import opmap
from types import AsyncGeneratorType, CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from qcfeed.diagnostics import chain
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.scan import LiveTaskScan
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import TaskRef

LOCKS = (asyncio.Lock, asyncio.Semaphore)
"""The types whose holders are found. A condition is held by its lock."""

MAX_TASKS = 100_000
"""Tasks that are searched at most."""
_MAX_HOLDERS = 100
"""Holders of one lock that are kept: a semaphore may have thousands."""
_MAX_GENERATORS = 20
"""Async generators of one task that are followed."""
_SLICE = 50
"""Tasks per slice; a slice takes less than 0.3 ms."""
_MAX_CODES = 4_096
_ENTERING = frozenset(
    opmap[name] for name in ("BEFORE_ASYNC_WITH", "LOAD_SPECIAL", "GET_AITER") if name in opmap
)
"""Instructions of ``async with``, up to Python 3.13 and later, and of ``async for``."""
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
        """The tasks that were found to hold this lock."""
        return self.by_lock.get(id(lock), [])


NO_HOLDERS = LockHolders({}, 0, 0)
"""The result where nobody has searched."""


def find_holders(ledger: Ledger, others: list[TaskRef] | None = None) -> LockHolders:
    """The tasks that hold locks and semaphores, among ``others`` and the ledger's live tasks.

    From any thread, in slices. Cost: 1.5 us per live task; 5 us for those in an ``async with``.
    """
    found: dict[int, list[TaskRef]] = {}
    searched = 0
    for part in ledger.turns.slices((others or [])[:MAX_TASKS], _SLICE):
        searched += len(part)
        for ref in part:
            _note(found, ref(), ref)
    scan = LiveTaskScan(ledger)
    for refs, some in scan:
        if searched < MAX_TASKS:  # of the rest, only the number is of interest
            searched += len(some)
            for part in ledger.turns.slices(refs, _SLICE):
                for ref in part:
                    _note(found, ref(), ref)
    return LockHolders(found, searched, scan.live + len(others or ()))


def _note(found: dict[int, list[TaskRef]], task: AnyTask | None, ref: TaskRef) -> None:
    for lock in held_by(task):
        known = found.setdefault(id(lock), [])
        if len(known) < _MAX_HOLDERS:
            known.append(ref)


def held_by(task: AnyTask | None) -> list[Any]:
    """The locks and semaphores that a suspended task holds by ``async with``, one entry for each block.

    From any thread; never raises. Cost: 1-5 us.
    """
    try:
        return [] if task is None else _held_by(chain.links(task.get_coro()))
    except Exception:  # noqa: BLE001 - a task class of the program may raise anything
        return []


def _held_by(links: list[Any]) -> list[Any]:
    found: list[Any] = []
    following = [link for link in links if _enters_blocks(chain.code(link))]
    # An async generator that is being entered is a link itself.
    seen = set(map(id, links))
    while following and len(seen) < len(links) + _MAX_GENERATORS:
        for manager in _managers(following.pop()):
            generator = _generator(manager)
            if generator is not None and id(generator) not in seen:
                seen.add(id(generator))
                following.append(generator)
            elif (lock := _lock(manager)) is not None:
                found.append(lock)
    for lock in _not_held(links) if found else ():
        place = next((n for n, each in enumerate(found) if each is lock), None)
        if place is not None:
            del found[place]
    return found


def _enters_blocks(code: CodeType | None) -> bool:
    """Whether a function has an ``async with`` or an ``async for``. Cost: 0.1 us once it is known."""
    if code is None:
        return False
    known = _known_codes.get(id(code))
    if known is None:
        if len(_known_codes) >= _MAX_CODES:
            _known_codes.clear()
        # Every second byte of the code is an opcode; the others are arguments.
        enters = not _ENTERING.isdisjoint(code.co_code[::2])
        known = _known_codes[id(code)] = (code, enters)  # held, so that no other code gets its id()
    return known[1]


_known_codes: dict[int, tuple[CodeType, bool]] = {}


def _managers(link: Any) -> Iterator[Any]:
    """The context managers whose blocks a link is in, and the async generators that it holds."""
    after_exit = False
    for thing in chain.held(link):
        kind = type(thing)
        if kind is FunctionType:
            # From Python 3.14 on, the exit function is held, and the context manager after it.
            after_exit = thing.__name__ == "__aexit__"
            continue
        if after_exit or kind is AsyncGeneratorType:
            yield thing
        elif kind is MethodType and thing.__name__ == "__aexit__":
            yield thing.__self__
        after_exit = False


def _generator(manager: Any) -> Any:
    """The async generator of an ``@asynccontextmanager``, or that of an ``async for`` itself."""
    if type(manager) is contextlib._AsyncGeneratorContextManager:
        manager = manager.gen
    return manager if type(manager) is AsyncGeneratorType else None


def _lock(thing: Any) -> Any:
    if issubclass(type(thing), asyncio.Condition):
        thing = thing._lock
    return thing if issubclass(type(thing), LOCKS) else None


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
