"""The object that a task waits for: a lock, an event, a queue, another task, a socket, a thread pool...

``waits.py`` says in words what one task waits on. This module finds the object itself, by the same rules
(wait_rules.py), and gives it a number.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from qcfeed.diagnostics import thread_pools, wait_rules, waits
from qcfeed.diagnostics.object_numbers import number_of
from qcfeed.diagnostics.site import AnyTask
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
_COUNTING = (asyncio.Event, asyncio.Lock, asyncio.Semaphore, asyncio.Condition, asyncio.Queue)
MANY = frozenset({"wait", "TaskGroup", "gather"})
"""Kinds of waits for several futures. If one alone is pending, the task waits for that one."""


class AwaitedObject(NamedTuple):
    """The awaited object itself. Keep it only briefly: it keeps objects of the program alive.

    ``awaited``: None if the kind of wait is known, but not the object.
    """

    kind: str
    awaited: Any
    seen: waits.RawWait


def find(task: AnyTask | None, pools: list[ThreadPool] | None = None) -> AwaitedObject | None:
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
    if kind in MANY:
        alone = _only_pending(awaited)
        if alone is not None:
            kind, awaited = "", alone
    if isinstance(awaited, concurrent.futures.Future):
        pool = thread_pools.pool_of(awaited, pools if pools is not None else thread_pools.pools())
        awaited = awaited if pool is None else pool.executor
        kind = ""
    return AwaitedObject(kind or kind_of(awaited), awaited, seen)


def number(found: AwaitedObject, ledger: object = None) -> int | None:
    """The object's number; a task's is its serial in ``ledger`` (None: in any).

    A future has one only if several wait for it, and a timer never has: a weak reference, which a number
    needs, would be a sign that somebody may still complete the future.
    """
    thing = found.awaited
    if thing is None or found.kind in ("timer", "wait", "gather"):
        return None
    if isinstance(thing, asyncio.Task):
        return wait_rules.serial(thing, ledger)
    if found.kind == "future" and len(getattr(thing, "_callbacks", None) or ()) < 2:
        return None
    return number_of(thing)


def label(kind: str, number: int | None) -> str:
    """How an object is called: ``Lock 3``; without a number the kind alone."""
    return kind if number is None else f"{kind} {number}"


def waiters(found: AwaitedObject) -> int | None:
    """How many wait for the object by its own count; None if it does not count them."""
    thing, kind = found.awaited, found.seen.kind
    if kind == "Queue.join":
        thing = getattr(thing, "_finished", None)
    if not isinstance(thing, _COUNTING):
        return None
    attribute = {"Queue.get": "_getters", "Queue.put": "_putters"}.get(kind, "_waiters")
    return len(getattr(thing, attribute) or ())


def numbered_label(found: AwaitedObject, ledger: object = None) -> str:
    """``Lock 3``; empty if the object has no number."""
    known = number(found, ledger)
    return "" if known is None else label(found.kind, known)


def kind_of(thing: Any) -> str:
    """The kind of an awaited object, by its type."""
    for known, kind in _KINDS:
        if isinstance(thing, known):
            return kind
    return "future" if asyncio.isfuture(thing) else "other"


def _awaited(seen: waits.RawWait) -> tuple[str, Any]:
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


def _of_rule(seen: waits.RawWait, thing: Any) -> tuple[str, Any]:
    kind = seen.kind
    if kind == "sleeping":
        return "timer", thing
    if kind.startswith(("socket", "WebSocket")):
        return "socket", thing
    if isinstance(thing, asyncio.Condition) and _reacquires(seen.links):
        return "Lock", thing._lock  # type: ignore[attr-defined]  # noqa: SLF001
    return ("" if thing is not None and kind not in MANY else kind), thing


def _reacquires(links: list[Any]) -> bool:
    """Whether a task was notified by a condition, and waits for its lock."""
    return any(link.__qualname__ == "Lock.acquire" for link in links)


def pending(awaited: Any) -> Iterator[Any]:
    """The pending futures of a gather, a TaskGroup or a collection."""
    if isinstance(awaited, asyncio.TaskGroup):
        awaited = awaited._tasks  # noqa: SLF001
    children = getattr(awaited, "_children", awaited)
    return (each for each in tuple(children) if not each.done())


def _only_pending(awaited: Any) -> Any:
    """The pending future if there is exactly one; it looks no further than the second."""
    found = list(itertools.islice(pending(awaited), 2)) if awaited is not None else []
    return found[0] if len(found) == 1 else None
