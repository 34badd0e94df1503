"""Abandoned futures: no other object refers to them, so no code can complete them.

Only code that holds a reference can complete a future. If the waiting task and the frames of its await
chain hold all references to a future, then it will never complete: they only wait for it.
``sys.getrefcount`` gives the number of references, ``gc.get_referents`` finds those of the task. Any
further reference (from a list, a closure, an instance, a timer, a library in C) may complete it.

This finds some abandoned futures, not all: one that is still in a forgotten dict looks healthy. Three
kinds of waits are never reported: a task that waits for its own cancellation by the usual idiom
(``await asyncio.Future()``, which has no name), the main task, and a wait that a timeout will end, the
task's own or that of a task that awaits it. A wait for cancellation whose future has a name
(``stop = loop.create_future(); await stop``) cannot be distinguished from an abandoned one and is
reported: only a cancellation will end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Iterable, Iterator
from enum import Enum
from types import MethodType
from typing import Any, NamedTuple

from qcfeed.diagnostics import awaited, awaiters, chain, waits
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.scan import LiveTaskScan, Oldest
from qcfeed.diagnostics.site import AnyTask, Site
from qcfeed.diagnostics.task_info import TaskRecord

_MAX_LEVELS = 10
"""How many levels of awaiters are searched for a timeout."""
_WAKING = (asyncio.Event, asyncio.Queue, asyncio.Lock, asyncio.Semaphore, asyncio.Condition)
"""Objects whose waiters are woken only by code that has the object."""
_RESCUERS = ("Timeout", "CancelScope")
"""Types of asyncio, async_timeout and anyio that may end a wait, by name."""
_MANAGERS = (contextlib._GeneratorContextManager, contextlib._AsyncGeneratorContextManager)  # noqa: SLF001
"""Context managers that are written as generators."""

OLDEST_PER_LOCATION = 20
"""Tasks per spawn location that are checked: the oldest, which have waited longest."""


class AbandonedTask(NamedTuple):
    """A task that waits for an abandoned future. ``future``: the address of that future."""

    record: TaskRecord
    future: int


class AbandonedTasks:
    """Finds tasks that wait for an abandoned future, and remembers since when.

    Cost of a search: 0.4 us per live task, and 5 us for each of the OLDEST_PER_LOCATION tasks of a
    location; in slices, from any thread.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._since: dict[tuple[int, int], float] = {}

    def note(self, now: float) -> None:
        """Search, and remember the tasks that are found; forget all others."""
        self._since = {(each.record.serial, each.future): since for each, since in self.since(now)}

    def since(self, now: float) -> list[tuple[AbandonedTask, float]]:
        """The tasks that are found now, and since when ``note`` has found them every time (``now`` if
        it has not)."""
        known = self._since
        return [(each, known.get((each.record.serial, each.future), now)) for each in self._found()]

    def _found(self) -> Iterator[AbandonedTask]:
        if not IS_RELIABLE:
            return
        for some in self._ledger.turns.slices(self._oldest()):
            for record in some:
                waiter = getattr(record(), "_fut_waiter", None)
                future, waiter = id(waiter), None  # keep no reference: it would count as a holder
                if other_holders(record()) is OtherHolders.NOBODY:
                    yield AbandonedTask(record, future)

    def _oldest(self) -> list[TaskRecord]:
        eldest: dict[Site, Oldest] = {}
        for _, some in LiveTaskScan(self._ledger):
            sites = {known.site for known in some}
            for site in sites:
                ours = some if len(sites) == 1 else [each for each in some if each.site is site]
                eldest.setdefault(site, Oldest(OLDEST_PER_LOCATION)).add(ours)
        return [record for oldest in eldest.values() for record in oldest.records()]


class OtherHolders(Enum):
    """Who else refers to a future. ``WEAKLY``: only weak references, which may still be used."""

    NOBODY = "nobody"
    WEAKLY = "weakly"


def other_holders(task: AnyTask | None) -> OtherHolders | None:
    """Whether anything besides the task refers to the future that it waits for.

    None: something does, or it is not known. From any thread; never raises.
    Cost: 2 us; if the result is not None, 5 us more and 2 us per callback.
    """
    try:
        return _other_holders(task) if IS_RELIABLE and task is not None else None
    except Exception:  # noqa: BLE001 - a task class of the program may raise anything
        return None


def only_its_own(task: AnyTask | None) -> bool:
    """Whether nothing but the task refers to the object that it waits for: an event, a queue, a lock...

    Then no code can wake it: it was created for the task and forgotten. An object that the program keeps
    in an attribute counts as referred to, even if nothing refers to the owner of that attribute.
    From any thread; never raises. Cost: 10 us.
    """
    try:
        found = awaited.find(task) if IS_RELIABLE and task is not None else None
        if found is None or task is None or not isinstance(found.awaited, _WAKING):
            return False
        links = chain.links(task.get_coro())
        thing = found.awaited
        exits = [each for link in links for each in chain.held(link) if _is_bound(each, thing)]
        holders = [found, *links, *exits]
        return not _extra_references(thing, holders) and not is_rescued(task, links)
    except Exception:  # noqa: BLE001 - a task class of the program may raise anything
        return False


def _is_bound(method: object, thing: object) -> bool:
    """Whether it is a method of ``thing``, such as the exit method that an ``async with`` block holds."""
    return type(method) is MethodType and method.__self__ is thing


def _other_holders(task: AnyTask) -> OtherHolders | None:
    waiter = getattr(task, "_fut_waiter", None)
    # Only plain futures: a subclass may be completed by whatever created it, without a reference.
    if type(waiter) is not asyncio.Future or waiter.done() or task.cancelling():
        return None
    links = chain.links(task.get_coro())
    end = _awaited(links)
    # A bare `await future` ends in CPython's FutureIter. Anything else may hold references of its own.
    if type(end).__name__ != "FutureIter":
        return None
    if _extra_references(waiter, [task, end, *links]) or not _is_named(waiter, links):
        return None
    weakly = weakref.getweakrefcount(waiter) > 0
    if is_rescued(task, links) or awaiters.is_main(task):
        return None
    if task._fut_waiter is not waiter or waiter.done():  # type: ignore[attr-defined]  # noqa: SLF001
        return None  # the task went on meanwhile: this runs in another thread
    return OtherHolders.WEAKLY if weakly else OtherHolders.NOBODY


def _awaited(links: list[Any]) -> Any:
    """What the innermost link awaits; None if a part of the chain is not written in Python."""
    if not links or any(map(chain.is_compiled, links)):
        return None
    last = links[-1]
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        if hasattr(last, name):
            return getattr(last, name)
    return None


def _extra_references(waiter: object, holders: Iterable[object]) -> int:
    """References to ``waiter`` beyond those of the holders and of this measurement itself."""
    known = sum(_times(waiter, holder) for holder in holders)
    return sys.getrefcount(waiter) - known - _OWN_REFERENCES


def _times(waiter: object, holder: object) -> int:
    """How often a holder refers to ``waiter`` directly: from a variable or from its stack."""
    return sum(each is waiter for each in gc.get_referents(holder))


def _is_named(waiter: object, links: list[Any]) -> bool:
    """Whether a variable of the program refers to ``waiter``, and not only an ``await``."""
    return any(
        _times(waiter, link)
        for link in links
        if (code := chain.code(link)) is not None and "/asyncio/" not in code.co_filename
    )


def is_rescued(task: AnyTask, links: list[Any], levels: int = _MAX_LEVELS) -> bool:
    """Whether a timeout may end the wait: the task's own, or that of a task that awaits it.

    ``links``: the task's await chain. True if there are more than ``levels`` of awaiters to look at.
    """
    if waits.timeout(links, task) is not None or any(map(_may_end, links)):
        return True
    behind = [each.task for each in awaiters.of(task)]
    if behind and not levels:
        return True  # deeper awaiters are not searched, and may have a timeout: do not report it
    return any(is_rescued(each, chain.links(each.get_coro()), levels - 1) for each in behind)


def _may_end(link: Any, levels: int = _MAX_LEVELS) -> bool:
    """Whether a link is in a block that ends after a time. The block may be inside a context manager that
    is written as a generator, as anyio's ``fail_after`` is."""
    for each in chain.held(link):
        for thing in (each, chain.bound_to(each)):
            if type(thing).__name__ in _RESCUERS:
                return True
            if levels and type(thing) in _MANAGERS and _may_end(thing.gen, levels - 1):
                return True
    return False


def _calibrate() -> int:
    """The references of the measurement itself: those that _extra_references() finds for an object that
    only a local variable and one list hold, called as in _other_holders()."""
    waiter = object()
    return _extra_references(waiter, [[waiter]])


_OWN_REFERENCES = 0  # read by _extra_references() while it is measured
_OWN_REFERENCES = _calibrate()


class _StubLoop:
    """The part of an event loop that a new future uses."""

    def get_debug(self) -> bool:
        return False


async def _wait_as_tasks_do(kept: list[object]) -> None:
    """Wait for a future that this coroutine has in a variable, and that ``kept`` holds too."""
    named: asyncio.Future[None] = asyncio.Future(loop=_StubLoop())  # type: ignore[arg-type]
    kept.append(named)
    del kept  # this coroutine would hold the list, and with it the future, a second time
    await named


def _others_of(coroutine: Any) -> int:
    """References to the future that a coroutine waits for, beyond its own."""
    coroutine.send(None)
    end = _awaited([coroutine])
    waiter = next(each for each in gc.get_referents(end) if asyncio.isfuture(each))
    return _extra_references(waiter, [end, coroutine])


def _is_reliable() -> bool:
    """Whether reference counts are reliable on this interpreter.

    It is tried on a future that nothing else holds and on one that a list holds. Another interpreter
    may keep references that it does not count, or share counts between threads.
    """
    held: list[object] = []
    forgotten, kept = _wait_as_tasks_do([]), _wait_as_tasks_do(held)
    try:
        return _others_of(forgotten) == 0 and _others_of(kept) == 1
    except Exception:  # noqa: BLE001 - then the counts are of no use
        return False
    finally:
        forgotten.close()
        kept.close()


IS_RELIABLE = _is_reliable()
"""Whether abandoned futures can be found on this interpreter."""
