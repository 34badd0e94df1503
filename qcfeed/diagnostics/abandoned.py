"""Futures that nobody will complete: told by who holds them.

To complete a future one must have it. Where its task and the frames of that task's awaits hold every
reference there is, nobody can: they wait for it themselves. ``sys.getrefcount`` counts the references,
``gc.get_referents`` those that are known, and any other (a list, a callback's closure, an instance, a
timer, a library in C) is somebody who may complete it.

So this finds some of them, and not others: one that a forgotten dict still holds looks healthy. Left
alone, too: what waits for its own cancellation as people write it (``await asyncio.Future()``, which
no variable names), the main task, and what a timeout will end, its own or that of who waits for it.
Where such a wait for cancellation has a name (``stop = loop.create_future(); await stop``) it cannot be
told from a lost one, and is found: only a cancellation will end it, and that is what it says.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, NamedTuple

from qcfeed.diagnostics import awaiters, chain, waits
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.scan import LiveTaskScan, Oldest
from qcfeed.diagnostics.site import AnyTask, Site
from qcfeed.diagnostics.task_info import TaskRecord

_MAX_LEVELS = 10
"""Awaiters of awaiters that are asked whether they have a timeout."""
_RESCUERS = ("Timeout", "CancelScope")
"""Types of asyncio, async_timeout and anyio that may end a wait, by name."""


OLDEST_PER_LOCATION = 20
"""Tasks of a location that are looked at, the oldest: those that wait longest."""


class AbandonedTask(NamedTuple):
    """A task whose future nobody holds. ``future``: of which one that was seen, by its address."""

    record: TaskRecord
    future: int


class AbandonedTasks:
    """Who was found so at one look, and since when. Cost of a look: 0.4 us a live task, and 5 us each
    of the LOOKED_AT oldest of a location; in slices, from any thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._since: dict[tuple[int, int], float] = {}

    def note(self, now: float) -> None:
        """Remember who is found so now; of others, that they are not."""
        self._since = {(each.record.serial, each.future): since for each, since in self.since(now)}

    def since(self, now: float) -> list[tuple[AbandonedTask, float]]:
        """Who is found so now, and since when they were at every look; ``now`` if only now."""
        known = self._since
        return [(each, known.get((each.record.serial, each.future), now)) for each in self._found()]

    def _found(self) -> Iterator[AbandonedTask]:
        if not IS_RELIABLE:
            return
        for some in self._ledger.slices(self._oldest()):
            for record in some:
                waiter = getattr(record(), "_fut_waiter", None)
                future, waiter = id(waiter), None  # or it would be held by this
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
    """``WEAKLY``: somebody has a weak reference to it, and may still come by it."""

    NOBODY = "nobody"
    WEAKLY = "weakly"


def other_holders(task: AnyTask | None) -> OtherHolders | None:
    """Who, besides the task itself, holds the future that it waits for; None for anybody at all,
    and whenever it cannot be told.

    From any thread; never raises. Cost: 2 us, and 5 us and 2 us a callback where it is not None.
    """
    try:
        return _other_holders(task) if IS_RELIABLE and task is not None else None
    except Exception:  # noqa: BLE001 - a task is whatever somebody made it
        return None


def _other_holders(task: AnyTask) -> OtherHolders | None:
    waiter = getattr(task, "_fut_waiter", None)
    if type(waiter) is not asyncio.Future or waiter.done() or task.cancelling():
        return None
    links = chain.links(task.get_coro())
    end = _awaited(links)
    if type(end).__name__ != "FutureIter":
        return None
    if _extra_references(waiter, [task, end, *links]) or not _is_named(waiter, links):
        return None
    weakly = weakref.getweakrefcount(waiter) > 0
    if _is_rescued(task, links) or awaiters.is_main(task):
        return None
    if task._fut_waiter is not waiter or waiter.done():  # type: ignore[attr-defined]  # noqa: SLF001
        return None  # the loop went on meanwhile
    return OtherHolders.WEAKLY if weakly else OtherHolders.NOBODY


def _awaited(links: list[Any]) -> Any:
    """What the innermost link awaits; None for a chain that is not all written in Python."""
    if not links or any(map(chain.is_compiled, links)):
        return None
    last = links[-1]
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        if hasattr(last, name):
            return getattr(last, name)
    return None


def _extra_references(waiter: object, holders: Iterable[object]) -> int:
    """References to ``waiter`` beyond those of the holders and those of looking so (_OURS)."""
    known = sum(_times(waiter, holder) for holder in holders)
    return sys.getrefcount(waiter) - known - _OWN_REFERENCES


def _times(waiter: object, holder: object) -> int:
    """How often a holder refers to it itself: by a variable, or what is on its stack."""
    return sum(each is waiter for each in gc.get_referents(holder))


def _is_named(waiter: object, links: list[Any]) -> bool:
    """Whether a variable of somebody's own function has it, and not only the await."""
    return any(
        _times(waiter, link)
        for link in links
        if (code := chain.code(link)) is not None and "/asyncio/" not in code.co_filename
    )


def _is_rescued(task: AnyTask, links: list[Any], levels: int = _MAX_LEVELS) -> bool:
    """Whether a timeout may end the wait: of the task, or of one that waits for it."""
    if waits.timeout(links, task) is not None or any(map(_may_end, links)):
        return True
    behind = [each.task for each in awaiters.of(task)]
    if behind and not levels:
        return True  # not to be told
    return any(_is_rescued(each, chain.links(each.get_coro()), levels - 1) for each in behind)


def _may_end(link: Any) -> bool:
    held = chain.held(link)
    return any(
        type(thing).__name__ in _RESCUERS for each in held for thing in (each, chain.bound_to(each))
    )


def _calibrate() -> int:
    """What _others() finds of an object that a local variable and one list hold, called as in _hold()."""
    waiter = object()
    return _extra_references(waiter, [[waiter]])


_OWN_REFERENCES = 0
_OWN_REFERENCES = _calibrate()


class _StubLoop:
    """As much of an event loop as a future asks for when it is made."""

    def get_debug(self) -> bool:
        return False


async def _wait_as_tasks_do(kept: list[object]) -> None:
    named: asyncio.Future[None] = asyncio.Future(loop=_StubLoop())  # type: ignore[arg-type]
    kept.append(named)
    del kept  # or this coroutine would hold the list, and by it the future once more
    await named


def _others_of(coroutine: Any) -> int:
    """What is found of references to the future that a coroutine waits for, beyond its own."""
    coroutine.send(None)
    end = _awaited([coroutine])
    waiter = next(each for each in gc.get_referents(end) if asyncio.isfuture(each))
    return _extra_references(waiter, [end, coroutine])


def _is_reliable() -> bool:
    """Whether references tell who holds a future: tried on one that nobody else holds and on one
    that a list holds. Another interpreter may keep references that it does not count, or share
    counts between threads.
    """
    held: list[object] = []
    forgotten, kept = _wait_as_tasks_do([]), _wait_as_tasks_do(held)
    try:
        return _others_of(forgotten) == 0 and _others_of(kept) == 1
    except Exception:  # noqa: BLE001 - then it cannot be told
        return False
    finally:
        forgotten.close()
        kept.close()


IS_RELIABLE = _is_reliable()
"""Whether it can be told on this interpreter."""
