"""Who waits for a task, read from its done callbacks: that is where asyncio keeps it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from qcfeed.diagnostics.site import AnyTask

_MAX_CALLBACKS = 1_000
"""Callbacks looked at, of a task and all that stands between it and who waits."""


class Awaiter(NamedTuple):
    """A task that waits for another; ``how``: await, gather, shield, wait, group..."""

    task: AnyTask
    how: str


def of(task: AnyTask) -> list[Awaiter]:
    """Who waits for ``task``: directly, or by gather, shield, wait, wait_for or a TaskGroup.

    From any thread; never raises. It cannot see a waiter behind a callback of one's own, one of
    ``as_completed``, nor one that merely looks (``task.done()``). Cost: 1 us, and 2 us a callback.
    """
    try:
        return list(
            {id(found.task): found for found in _awaiters_of(task, "await", set())}.values()
        )
    except Exception:  # noqa: BLE001 - a future of somebody's own may do anything
        return []


def is_shielded(task: AnyTask) -> bool:
    """Whether somebody waits for it by ``asyncio.shield``: their cancellation will not reach it."""
    return any("shield.<locals>" in _name(callback) for callback in _callbacks(task))


def is_main(task: AnyTask) -> bool:
    """Whether the loop runs for its sake: ``asyncio.run`` or ``run_until_complete`` wait for it."""
    return any("run_until_complete" in _name(callback) for callback in _callbacks(task))


def cycles(waits_for: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Of pairs "this one waits for that one": rings that can never end, each from its oldest.

    One ring of those that share a task. Cost: O(pairs).
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
    """The first way from ``start`` that comes back upon itself; all that was seen is ``done``."""
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
"""Variables of asyncio's functions whose futures their callbacks complete. Others hold what is
awaited or, from Python 3.14 on, the task that called (``cur_task``), which merely awaits too."""


def _futures(callback: Any) -> Iterator[Any]:
    """The futures that a callback of asyncio's will complete."""
    is_asyncio = _module(callback).startswith("asyncio.")
    if isinstance(callback, functools.partial):
        # wait_for's _release_waiter(waiter) completes what it is given; gather's, from Python 3.14
        # on, has the children and the task that called.
        held = list(callback.args) if not is_asyncio or "waiter" in _name(callback) else []
    else:
        names = getattr(getattr(callback, "__code__", None), "co_freevars", ())
        cells = zip(names, getattr(callback, "__closure__", None) or (), strict=False)
        held = [cell.cell_contents for name, cell in cells if not is_asyncio or name in _COMPLETED]
    return (each for each in held if asyncio.isfuture(each))


def _callbacks(future: Any) -> list[Any]:
    return [entry[0] for entry in getattr(future, "_callbacks", None) or ()]


def _asyncio_function(callback: Any) -> str:
    """asyncio's function that put it there: ``gather``, ``shield``, ``wait``, ``wait_for``."""
    word = _name(callback).partition(".")[0].lstrip("_")
    return "wait_for" if word == "release_waiter" else word


def _name(callback: Any) -> str:
    return str(getattr(_function(callback), "__qualname__", ""))


def _module(callback: Any) -> str:
    return str(getattr(_function(callback), "__module__", ""))


def _function(callback: Any) -> Any:
    return callback.func if isinstance(callback, functools.partial) else callback
