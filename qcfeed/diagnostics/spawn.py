"""The ledger: what was spawned, where, and what became of it.

A task factory notes every task under its *spawn location*: the code object and bytecode offset of
the first caller outside asyncio. Lines and paths are looked up only when somebody reads them.

The observer leaves the observed alone: a task is known by weak reference only, so the garbage
collector, names, coroutines, cancellation and asyncio's own reports of lost exceptions work as
they do without it. A ledger that raises removes itself, says so once, and the program goes on.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import contextlib
import itertools
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any, TypeVar

from qcfeed.diagnostics.site import AnyTask, Closable, Owner, Record, Site, Task, lost

__all__ = ["MAX_SITES", "AnyTask", "Closable", "Ledger", "Owner", "Record", "Site", "owned_by"]

log = logging.getLogger("qcfeed.diagnostics")
Item = TypeVar("Item")

MAX_SITES = 4_096
"""Spawn locations told apart; tasks from any further one are booked under ``other``."""
SLICE = 4_000
"""Records that a reader looks at before it lets the watched loop run."""
_PAUSE = 50e-6
"""Seconds of that. sleep(0) returns before a thread that waits for the GIL has woken to take it."""

_owner: ContextVar[Owner | None] = ContextVar("qcfeed_task_owner", default=None)
_serials = itertools.count(1)


@contextlib.contextmanager
def owned_by(owner: Owner | None) -> Iterator[None]:
    """Tasks spawned inside belong to ``owner``, and so do those that they spawn; None clears it.

    A trap: callbacks (``call_soon``, ``add_done_callback``) inherit the context they were made in.
    A long-lived component that spawns on behalf of others when one of them calls must say
    ``owned_by`` itself, or what it spawns is booked to whoever happened to wake it.
    """
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


_LIBRARY = tuple(
    os.path.join(os.path.dirname(path), "")  # noqa: PTH118,PTH120
    for path in (asyncio.__file__, __file__)
)
_HANDLE_RUN = asyncio.events.Handle._run.__code__  # noqa: SLF001
_CREATE_TASK = asyncio.create_task.__code__


def _is_library(code: CodeType) -> bool:
    return code.co_filename.startswith(_LIBRARY) or code.co_filename == contextlib.__file__


class Ledger:
    """The books of one event loop's tasks; see the module.

    Cost: 1.4-1.7 x a trivial task's create and finish, 240 B a live task (benchmarks/diagnostics.py).
    It cannot see tasks made before it, nor ``asyncio.Task(...)`` called directly (as some libraries
    do for ``eager_start=True``): a census counts those as *untracked*.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.failure: str | None = None
        """Why the ledger removed itself, if it did; nothing new is booked from then on."""
        self.other = Site(self, None, 0)
        self._sites: dict[tuple[int, int], Site] = {}
        self._previous: Any = None
        self._factory: Any = None
        self._depth = 0

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Book every task that ``loop`` makes from now on. Call it in the loop's thread.

        A task factory that is there already keeps making the tasks.
        Raises RuntimeError when this ledger is installed already.
        """
        if self._factory is not None:
            raise RuntimeError("this ledger is installed already; one ledger serves one loop")
        self.loop = loop
        self.failure = None
        self._previous = loop.get_task_factory()
        # Frames from _caller to whoever called loop.create_task; uvloop's is compiled and has none.
        plain = getattr(type(loop), "create_task", None) is asyncio.BaseEventLoop.create_task
        self._depth = 3 if plain else 2
        self._factory = self._spawn if self._previous is None else self._spawn_chained
        loop.set_task_factory(self._factory)

    def uninstall(self) -> None:
        """Put the earlier factory back. Tasks booked already are still seen to their end.

        When somebody has chained behind us meanwhile, theirs stays, and ours only passes through.
        """
        factory, self._factory = self._factory, None
        if factory is not None and self.loop and self.loop.get_task_factory() is factory:
            self.loop.set_task_factory(self._previous)

    @property
    def installed(self) -> bool:
        return self._factory is not None

    def sites(self) -> list[Site]:
        """Every spawn location seen so far. From any thread."""
        return [*self._sites.values(), self.other]

    def find(self, serial: int) -> Record | None:
        """The live task with this serial number. From any thread. Cost: O(locations)."""
        for site in self.sites():
            if (record := site.records.get(serial)) is not None:
                task = record()
                return None if task is None or task.done() else record
        return None

    def slices(self, items: list[Item]) -> Iterator[list[Item]]:
        """``items`` by the SLICE. Between two the watched loop gets the GIL, unless this is it."""
        elsewhere = asyncio._get_running_loop() is not self.loop  # noqa: SLF001
        for start in range(0, len(items), SLICE):
            if start and elsewhere:
                time.sleep(_PAUSE)
            yield items[start : start + SLICE]

    def _spawn(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> AnyTask:
        """The task factory."""
        if self._factory is None:
            return _plain(loop, coro, kwargs)
        try:
            site = self._caller()
        except Exception as error:  # noqa: BLE001
            self._give_up(error)
            return _plain(loop, coro, kwargs)
        task = Task(coro, loop=loop, **kwargs)
        if task._source_traceback:  # type: ignore[attr-defined]  # noqa: SLF001
            del task._source_traceback[-2:]  # type: ignore[attr-defined]  # noqa: SLF001
        task.record = record = Record(task)
        record.serial = serial = next(_serials)
        record.born = time.monotonic()
        record.owner = _owner.get()
        record.site = site
        site.records[serial] = record
        return task

    def _spawn_chained(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        """The task factory where there is one already: its tasks tell us by callbacks."""
        task = self._previous(loop, coro, **kwargs)
        # What is not even a future can be neither watched nor weakly held: left alone.
        if self._factory is not None and isinstance(task, asyncio.Task):
            try:
                record = Record(task, lost)
                _book(record, self._caller())
                task.add_done_callback(record.end)
            except Exception as error:  # noqa: BLE001
                self._give_up(error)
        return task

    def _caller(self) -> Site:
        """The site of whoever called ``create_task``."""
        frame = sys._getframe(self._depth)  # noqa: SLF001
        code = frame.f_code
        if code is _CREATE_TASK:
            frame = sys._getframe(self._depth + 1)  # noqa: SLF001
            code = frame.f_code
        return self._sites.get((id(code), frame.f_lasti)) or self._site(frame)

    def _site(self, frame: FrameType) -> Site:
        """The slow way: the first caller outside the library, or the last before the loop."""
        while _is_library(frame.f_code):
            caller = frame.f_back
            if caller is None or caller.f_code is _HANDLE_RUN:
                break
            frame = caller
        key = (id(frame.f_code), frame.f_lasti)
        site = self._sites.get(key)
        if site is None:
            if len(self._sites) >= MAX_SITES:
                return self.other
            site = self._sites[key] = Site(self, frame.f_code, frame.f_lasti)
        return site

    def _give_up(self, error: Exception) -> None:
        self.failure = f"{type(error).__name__}: {error}"
        self.uninstall()
        log.error(
            "the task ledger failed and has removed itself; the program goes on without it: %s",
            self.failure,
            exc_info=error,
        )


def _book(record: Record, site: Site) -> None:
    record.serial = serial = next(_serials)
    record.born = time.monotonic()
    record.owner = _owner.get()
    record.site = site
    site.records[serial] = record


def _plain(loop: asyncio.AbstractEventLoop, coro: Any, kwargs: dict[str, Any]) -> AnyTask:
    return asyncio.Task(coro, loop=loop, **kwargs)
