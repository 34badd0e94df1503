"""The ledger: what was spawned, where, and what became of it.

A task factory notes every task under its *spawn location*: the code object and bytecode offset of
the first caller outside asyncio. Lines and paths are looked up only when somebody reads them.

The observer leaves the observed alone: no task is kept alive (registry.py has weak references), so
the garbage collector, names, coroutines, cancellation and asyncio's own reports of lost exceptions
work as they do without it. A ledger that raises removes itself, says so once, and the program goes
on.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import time
import weakref
from collections.abc import Collection, Iterator
from types import CodeType, FrameType
from typing import Any, TypeVar

from qcfeed.diagnostics import registry
from qcfeed.diagnostics.callers import HANDLE_RUN, is_between, outside
from qcfeed.diagnostics.failures import Failures
from qcfeed.diagnostics.scan import LiveTaskScan
from qcfeed.diagnostics.self_check import SelfCheck
from qcfeed.diagnostics.site import AnyTask, Frames, Site
from qcfeed.diagnostics.task_context import Closable, Owner, owned_by
from qcfeed.diagnostics.task_context import current_context as _current_context
from qcfeed.diagnostics.task_info import Task, TaskRecord, TaskRef, info_of, to_record

__all__ = ["MAX_SITES", "AnyTask", "Closable", "Ledger", "Owner", "Site", "TaskRecord", "owned_by"]

log = logging.getLogger("qcfeed.diagnostics")
Item = TypeVar("Item")

MAX_SITES = 4_096
"""Spawn locations told apart; tasks from any further one are booked under ``other``."""
SLICE = 100
"""Things that a reader looks at before it asks whether its turn is over."""
READER_TURN_S = 0.001
"""Seconds that readers take before they let the watched loop run."""
_PAUSE_S = 50e-6
"""Seconds of that. sleep(0) returns before a thread that waits for the GIL has woken to take it."""

_current_task = registry.current_task_getter()
_ref = weakref.ref
_serials = itertools.count(1)
_CREATE_TASK = asyncio.create_task.__code__
_SELF_CHECK = SelfCheck.probe.__code__.co_filename


class Ledger:
    """The books of one event loop's tasks; see the module.

    Cost: 1.5 x a trivial task's create and finish and 130 B for each live task up to Python 3.13;
    2.2 x and 270 B from 3.14 on, where plain tasks are faster (docs/performance.md).
    It cannot see tasks made before it, nor ``asyncio.Task(...)`` called directly (as some libraries
    do for ``eager_start=True``): a snapshot counts those as *untracked*.
    """

    def __init__(self, *, spawn_stacks: int = 0) -> None:
        """``spawn_stacks``: how many of the innermost frames to keep of each spawn; 0 for none.

        With eight a trivial task costs 2.2 x a plain one, where it costs 1.6 x without.
        """
        self.spawn_stacks = spawn_stacks
        self.loop: asyncio.AbstractEventLoop | None = None
        self.failure: str | None = None
        """Why the ledger removed itself, if it did; nothing new is booked from then on."""
        self.failures = Failures()
        """What ended with an exception."""
        self.other = Site(self, None, 0)
        self.check = SelfCheck(self)
        """Whether the ledger sees what it should; see ``incomplete``."""
        self._sites: dict[int, Site] = {}
        """By the address of the instruction that spawns: within that of its code object, which the
        site holds, so it is nobody else's. (A pair of code and offset takes 50 ns more a spawn.)"""
        self._foreign: dict[int, TaskRecord] = {}
        """Tasks that another factory has made, by serial."""
        self._live: set[TaskRef] | None = None if registry.asyncio_refs() is not None else set()
        """The ledger's own tasks, where asyncio keeps no set of tasks."""
        # One bound method for all weak references: each would keep one of its own, of 72 bytes.
        self._let_go = None if self._live is None else self._live.discard
        self._untracked = registry.Untracked()
        self._earlier: weakref.WeakSet[AnyTask] = weakref.WeakSet()
        """Tasks of the loop that were there before the ledger."""
        self._rested = 0.0
        """When a reader last let the loop run. One for all readers: their turns add up for it."""
        self._previous: Any = None
        self._factory: Any = None
        self._depth = 0

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Book every task that ``loop`` makes from now on. Call it in the loop's thread.

        A task factory that is there already keeps making the tasks. Cost: 1-3 us, in one step,
        for each task that is there already.
        Raises RuntimeError when this ledger is installed already.
        """
        if self._factory is not None:
            raise RuntimeError("this ledger is installed already; one ledger serves one loop")
        self.loop = loop
        self.failure = None
        self._earlier = weakref.WeakSet(asyncio.all_tasks(loop))
        self._previous = loop.get_task_factory()
        # Frames from _caller to whoever called loop.create_task; uvloop's is compiled and has none.
        plain = getattr(type(loop), "create_task", None) is asyncio.BaseEventLoop.create_task
        self._depth = 3 if plain else 2
        self._factory = self._spawn if self._previous is None else self._spawn_chained
        if self.spawn_stacks:
            self._depth += 1
            self._factory = self._spawn_and_note
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
        return [*list(self._sites.values()), self.other]

    def incomplete(self) -> list[str]:
        """Why what this ledger says may not be all there is, in sentences; empty if it is, as far
        as it has been checked (self_check.py). From any thread."""
        stopped = [] if self.failure is None else [f"stopped recording tasks: {self.failure}"]
        return stopped + self.check.problems()

    def holds(self, task: AnyTask) -> bool:
        """Whether a pass over the live tasks would come upon this one. Cost: O(1)."""
        refs = registry.asyncio_refs() if self._live is None else self._live
        known = info_of(task, self)
        if isinstance(known, TaskRecord):
            return known.serial in self._foreign
        return refs is not None and _ref(task) in refs

    def refs(self, found: list[TaskRef] | None = None) -> list[TaskRef]:
        """Weak references to the ledger's tasks, and perhaps to others. From any thread.

        ``found``: a list to add them to instead of a new one (see long_lists.py).
        Cost: one step, 10-16 ms at a million.
        """
        found = [] if found is None else found
        found += (registry.asyncio_refs() or ()) if self._live is None else self._live
        return found

    def untracked(self, reading: LiveTaskScan) -> int:
        """Live tasks of the loop that this ledger does not know: made before it, or around it.

        ``reading``: one that has been iterated to its end. From any thread. Cost: Untracked.count.
        """
        if self._live is None or self.loop is None:
            return reading.untracked
        return self._untracked.count(self.loop, reading.live, self.is_tracked)

    def untracked_sample(self, reading: LiveTaskScan) -> list[AnyTask]:
        """Some of the live tasks that went around this ledger since it was installed; the same
        ``reading`` as for ``untracked``, which comes first. From any thread."""
        refs = reading.sample if self._live is None else self._untracked.sample
        return [
            task
            for ref in refs
            if (task := ref()) is not None and not task.done() and task not in self._earlier
        ]

    def earlier(self) -> int:
        """How many of the live tasks were there before the ledger. From any thread."""
        return sum(not task.done() for task in self._earlier)

    def is_tracked(self, task: AnyTask) -> bool:
        """Whether this ledger has booked the task, or is about to. Cost: 0.1 us for one of its own."""
        is_new = type(task) is Task and getattr(task, "site", None) is None  # in another thread
        return is_new or info_of(task, self) is not None

    def foreign(self) -> list[TaskRecord]:
        """Tasks that another factory has made. From any thread."""
        return list(self._foreign.values())

    def settle(self) -> None:
        """Book what has ended and is still held. From any thread. Cost: 0.3 us a live task."""
        for _ in LiveTaskScan(self):
            pass

    def records(self) -> list[TaskRecord]:
        """The live tasks, oldest first. From any thread. Cost: 1 us each: for few, or for tests."""
        found = [to_record(each) for _, some in LiveTaskScan(self) for each in some]
        return sorted(found, key=lambda each: each.serial)

    def find(self, serial: int) -> TaskRecord | None:
        """The live task with this serial number. From any thread. Cost: 0.2 us a live task."""
        return self.find_all({serial}).get(serial)

    def find_all(self, serials: Collection[int]) -> dict[int, TaskRecord]:
        """The live among these serial numbers. From any thread. Cost: 0.2 us a live task."""
        wanted, found = set(serials), dict[int, TaskRecord]()
        for _, some in LiveTaskScan(self):
            if len(found) == len(wanted):
                break
            if not wanted.isdisjoint([each.serial for each in some]):
                found |= {each.serial: to_record(each) for each in some if each.serial in wanted}
        return found

    def record_of(self, task: AnyTask | None) -> TaskRecord | None:
        """The facts of a task that this ledger has booked, whoever made it. From any thread."""
        known = info_of(task, self)
        return None if known is None else to_record(known)

    def slices(self, items: list[Item], size: int | None = None) -> Iterator[list[Item]]:
        """``items`` by the SLICE. After each TURN the watched loop gets the GIL, unless this is it."""
        size = size or SLICE
        for start in range(0, len(items), size):
            self._rest()
            yield items[start : start + size]

    def drained_slices(self, items: list[Item], size: int) -> Iterator[list[Item]]:
        """The same, from the end of ``items``, which lets go of each slice before it is given out."""
        while items:
            self._rest()
            some = items[-size:]
            del items[-size:]
            yield some

    def _rest(self) -> None:
        elsewhere = asyncio._get_running_loop() is not self.loop  # noqa: SLF001
        if elsewhere and time.monotonic() - self._rested > READER_TURN_S:
            time.sleep(_PAUSE_S)
            self._rested = time.monotonic()

    def _spawn(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> AnyTask:
        """The task factory."""
        if self._factory is None:
            return _plain(loop, coro, kwargs)
        try:  # as _caller(), without the call
            frame = sys._getframe(self._depth - 1)  # noqa: SLF001
            code = frame.f_code
            if code is _CREATE_TASK:
                frame = sys._getframe(self._depth)  # noqa: SLF001
                code = frame.f_code
            site = self._sites.get(id(code) + frame.f_lasti) or self._site(frame)
        except Exception as error:  # noqa: BLE001
            self.give_up(error)
            return _plain(loop, coro, kwargs)
        task = Task(coro, loop=loop, **kwargs)
        if task._source_traceback:  # type: ignore[attr-defined]  # noqa: SLF001
            del task._source_traceback[-2:]  # type: ignore[attr-defined]  # noqa: SLF001
        task.serial = next(_serials)
        task.created_at = time.monotonic()
        task.context = _current_context.get()
        spawner = _current_task(loop)
        try:
            task.parent = spawner.serial if type(spawner) is Task else None
        except AttributeError:  # it is eager and still in its first step, not booked yet
            task.parent = None
        task.open = True
        task.site = site  # the last: other threads take a task that has one for booked
        if (live := self._live) is not None:
            live.add(_ref(task, self._let_go))
        site.spawned += 1
        return task

    def _spawn_chained(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        """The task factory where there is one already: its tasks tell us by callbacks."""
        task = self._previous(loop, coro, **kwargs)
        # What is not even a future can be neither watched nor weakly held: left alone.
        if self._factory is not None and isinstance(task, asyncio.Task):
            try:
                self._book_foreign(task, self._caller(), _current_task(loop))
            except Exception as error:  # noqa: BLE001
                self.give_up(error)
        return task

    def _book_foreign(self, task: AnyTask, site: Site, spawner: AnyTask | None) -> None:
        made = TaskRecord(task, self._lost)
        made.serial = serial = next(_serials)
        made.created_at = time.monotonic()
        made.context = _current_context.get()
        by = info_of(spawner, self)
        made.parent = None if by is None else by.serial
        made.open = True
        made.site = site
        site.spawned += 1
        self._foreign[serial] = made
        task.add_done_callback(made.end)

    def _lost(self, gone: weakref.ref[AnyTask]) -> None:
        """Another factory's task is gone. If it did not tell its end, it was destroyed pending."""
        assert isinstance(gone, TaskRecord)  # noqa: S101
        self._foreign.pop(gone.serial, None)
        if gone.open:
            gone.open = False
            gone.site.destroyed += 1

    def _caller(self) -> Site:
        """The site of whoever called ``create_task``."""
        frame = sys._getframe(self._depth)  # noqa: SLF001
        code = frame.f_code
        if code is _CREATE_TASK:
            frame = sys._getframe(self._depth + 1)  # noqa: SLF001
            code = frame.f_code
        return self._sites.get(id(code) + frame.f_lasti) or self._site(frame)

    def _site(self, frame: FrameType) -> Site:
        """The slow way: past the library."""
        if frame.f_code.co_filename == _SELF_CHECK:
            return self.check.site
        frame = outside(frame)
        key = id(frame.f_code) + frame.f_lasti
        site = self._sites.get(key)
        if site is None:
            if len(self._sites) >= MAX_SITES:
                return self.other
            site = self._sites[key] = Site(self, frame.f_code, frame.f_lasti)
        return site

    def _spawn_and_note(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        """The task factory that keeps spawn stacks: whichever of the two, and the frames."""
        plain = self._previous is None
        task: Any = (self._spawn if plain else self._spawn_chained)(loop, coro, **kwargs)
        if plain and getattr(task, "_source_traceback", None):
            del task._source_traceback[-1:]  # noqa: SLF001 - ours is one frame more
        if (known := info_of(task, self)) is not None:
            known.spawned_by = self._frames(sys._getframe(1))  # noqa: SLF001
        return task

    def _frames(self, frame: FrameType | None) -> Frames:
        """The frames that led to a spawn: from the first outside the library back to the loop."""
        found: list[tuple[CodeType, int]] = []
        while frame is not None and len(found) < self.spawn_stacks:
            if found or not is_between(frame.f_code):
                found.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
            if frame is not None and frame.f_code is HANDLE_RUN:
                break
        return tuple(found)

    def note_failure(self, site: Site, serial: int, error: BaseException) -> None:
        """A task of ours ended with an exception."""
        self.failures.note(site, serial, error)

    def give_up(self, error: Exception) -> None:
        """Something in here failed: book nothing more, say so once, leave the program alone."""
        if self.failure is not None:
            return
        self.failure = f"{type(error).__name__}: {error}"
        self.uninstall()
        log.error(
            "the task ledger failed and has removed itself; the program goes on without it: %s",
            self.failure,
            exc_info=error,
        )


def _plain(loop: asyncio.AbstractEventLoop, coro: Any, kwargs: dict[str, Any]) -> AnyTask:
    return asyncio.Task(coro, loop=loop, **kwargs)
