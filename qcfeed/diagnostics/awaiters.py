"""Which tasks wait for a task. asyncio keeps this in the task's done callbacks."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from qcfeed.diagnostics.site import AnyTask

_MAX_CALLBACKS = 1_000
"""Callbacks that are followed at most, from a task to the tasks that wait for it."""


class Awaiter(NamedTuple):
    """A task that waits for another one. ``how``: ``await``, ``gather``, ``shield``, ``wait``, ``group``..."""

    task: AnyTask
    how: str


def of(task: AnyTask) -> list[Awaiter]:
    """The tasks that wait for ``task``: directly, or by gather, shield, wait, wait_for or a TaskGroup.

    From any thread; never raises. It does not find a task that waits behind a callback of the program
    or by ``as_completed``, nor one that polls ``task.done()``. Cost: 1 us, and 2 us per callback.
    """
    try:
        return list(
            {id(found.task): found for found in _awaiters_of(task, "await", set())}.values()
        )
    except Exception:  # noqa: BLE001 - a future class of the program may raise anything
        return []


def is_shielded(task: AnyTask) -> bool:
    """Whether a task waits for it by ``asyncio.shield``, so that its cancellation does not reach it."""
    return any("shield.<locals>" in _name(callback) for callback in _callbacks(task))


def is_main(task: AnyTask) -> bool:
    """Whether it is the main task: ``asyncio.run`` or ``run_until_complete`` waits for it."""
    return any("run_until_complete" in _name(callback) for callback in _callbacks(task))


def cycles(waits_for: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The cycles among pairs of serials (waiting task, awaited task). None of their tasks can end.

    Each cycle starts with its oldest task. If several cycles share a task, only one of them is returned.
    Cost: O(pairs).
    """
    ahead: dict[int, list[int]] = {}
    for waiting, awaited in waits_for:
        ahead.setdefault(waiting, []).append(awaited)
    done: set[int] = set()
    found = []
    for start in sorted(ahead):
        if start not in done and (ring := _ring(start, ahead, done)):
            oldest = ring.index(min(ring))
            found.append(ring[oldest:] + ring[:oldest])
    return found


def _ring(start: int, ahead: Mapping[int, list[int]], done: set[int]) -> list[int]:
    """The first cycle on a path from ``start``, else empty. Adds every task it visits to ``done``.

    A depth-first search with its own stack: a chain of awaits may be deeper than Python's recursion
    limit.
    """
    way, branches = {start: None}, [iter(ahead[start])]
    ring: list[int] = []
    while branches:
        following = next(branches[-1], None)
        if following is None:
            branches.pop()
            done.add(way.popitem()[0])
        elif following in way:
            ring = ring or list(way)[list(way).index(following) :]
        elif following not in done:
            way[following] = None
            branches.append(iter(ahead.get(following, ())))
    return ring


def _awaiters_of(future: Any, how: str, seen: set[int]) -> Iterator[Awaiter]:
    for callback in _callbacks(future):
        if len(seen) >= _MAX_CALLBACKS or id(callback) in seen:
            return
        seen.add(id(callback))
        waiting = getattr(callback, "__self__", None)
        # A task that awaits a future adds its own wake-up method, which is bound to the task.
        if isinstance(waiting, asyncio.Task):
            yield Awaiter(waiting, how)
        elif isinstance(waiting, asyncio.TaskGroup):
            parent = getattr(waiting, "_parent_task", None)
            if parent is not None:
                yield Awaiter(parent, "group")
        else:
            by = how if how != "await" else _asyncio_function(callback)
            for between in _futures(callback):
                if between is not future:
                    yield from _awaiters_of(between, by, seen)


_COMPLETED = frozenset({"outer", "waiter", "destination"})
"""Variables of asyncio's functions that hold the future which the callback completes. Other variables
hold the awaited future or, from Python 3.14 on, the calling task (``cur_task``), which only waits."""


def _futures(callback: Any) -> Iterator[Any]:
    """The futures that a callback will complete."""
    is_asyncio = _module(callback).startswith("asyncio.")
    if isinstance(callback, functools.partial):
        # wait_for's _release_waiter(waiter) completes its argument. The arguments of gather's partial,
        # from Python 3.14 on, are its children and the calling task, which it does not complete.
        held = list(callback.args) if not is_asyncio or "waiter" in _name(callback) else []
    else:
        names = getattr(getattr(callback, "__code__", None), "co_freevars", ())
        cells = zip(names, getattr(callback, "__closure__", None) or (), strict=False)
        held = [cell.cell_contents for name, cell in cells if not is_asyncio or name in _COMPLETED]
    return (each for each in held if asyncio.isfuture(each))


def _callbacks(future: Any) -> list[Any]:
    return [entry[0] for entry in getattr(future, "_callbacks", None) or ()]


def _asyncio_function(callback: Any) -> str:
    """The asyncio function that added the callback: ``gather``, ``shield``, ``wait``, ``wait_for``."""
    word = _name(callback).partition(".")[0].lstrip("_")
    return "wait_for" if word == "release_waiter" else word


def _name(callback: Any) -> str:
    return str(getattr(_function(callback), "__qualname__", ""))


def _module(callback: Any) -> str:
    return str(getattr(_function(callback), "__module__", ""))


def _function(callback: Any) -> Any:
    return callback.func if isinstance(callback, functools.partial) else callback
