"""The task ledger: which tasks were created, where, and how they ended.

A task factory records every task under its *spawn location*: the code object and bytecode offset of
the first caller outside asyncio. Lines and paths are looked up only when they are read.

The ledger does not change the program that it observes. It keeps no task alive (registry.py holds
weak references), so garbage collection, task names, coroutines, cancellation and asyncio's reports of
unretrieved exceptions work as they do without it. If the ledger itself raises, it uninstalls itself
and logs one error, and the program goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import time
import weakref
from collections.abc import Collection
from types import CodeType, FrameType
from typing import Any

from qcfeed.diagnostics import registry
from qcfeed.diagnostics.callers import HANDLE_RUN, SpawnPlaces, is_between
from qcfeed.diagnostics.code_origin import PROBES
from qcfeed.diagnostics.failures import Failures
from qcfeed.diagnostics.scan import LiveTaskScan
from qcfeed.diagnostics.self_check import SelfCheck
from qcfeed.diagnostics.site import AnyTask, Frames, Site
from qcfeed.diagnostics.task_context import Closable, Owner, owned_by
from qcfeed.diagnostics.task_context import current_context as _current_context
from qcfeed.diagnostics.task_info import LedgerTask, TaskRecord, TaskRef, info_of, to_record
from qcfeed.diagnostics.turns import ReaderTurns

__all__ = ["MAX_SITES", "AnyTask", "Closable", "Ledger", "Owner", "Site", "TaskRecord", "owned_by"]

log = logging.getLogger("qcfeed.diagnostics")

MAX_SITES = 4_096
"""Spawn locations counted separately; tasks from any further location are counted as ``other``."""
_current_task = registry.current_task_getter()
_ref = weakref.ref
_serials = itertools.count(1)
_CREATE_TASK = asyncio.create_task.__code__


def last_serial() -> int:
    """The highest serial that a task of this process has had."""
    # itertools.count shows its next number only in its repr(); next() would use the number up.
    return int(repr(_serials).removeprefix("count(").removesuffix(")")) - 1


class Ledger:
    """Records the tasks of one event loop: where they were created and how they ended.

    ::

        ledger = Ledger()
        ledger.install(asyncio.get_running_loop())
        ...
        for record in ledger.records():
            print(record.serial, record.site.location)
        ledger.uninstall()

    Cost: creating and finishing a trivial task takes 1.5 x as long, and a live task takes 130 bytes
    more, up to Python 3.13; 1.9 x and 270 bytes from 3.14 on, where plain tasks are faster
    (docs/explanation/performance.md).

    The ledger does not see tasks that were created before it, nor those that a library creates by
    calling ``asyncio.Task(...)`` itself (as for ``eager_start=True``). Snapshots count these as
    *untracked*.
    """

    def __init__(self, *, spawn_stacks: int = 0, through: Collection[str] = ()) -> None:
        """``spawn_stacks``: how many of the innermost frames to keep for each spawn; 0 for none.
        ``through``: functions, classes or modules of the program that create tasks for their callers,
        for example ``myapp.tasks.spawn``; the line that calls them is the spawn location.

        With eight frames a trivial task takes 2.2 x as long as a plain one, without them 1.6 x.
        """
        self.spawn_stacks = spawn_stacks
        self.loop: asyncio.AbstractEventLoop | None = None
        self.failure: str | None = None
        """Why the ledger uninstalled itself, if it did. It records no new task after that."""
        self.failures = Failures()
        """Tasks that ended with an exception, grouped."""
        self.other = Site(self, None, 0)
        self.check = SelfCheck(self)
        """Checks that the ledger sees every task; ``incomplete`` reports the result."""
        self._sites: dict[int | tuple[int, int], Site] = {}
        """The key is ``id(code) + offset`` of the instruction that spawns. It is unique: it lies within
        the memory of the code object, which the site keeps alive. (A tuple of code and offset as the
        key would cost 50 ns more per spawn.) If that is an instruction of a library, which many callers
        may share, the key of the application's instruction that led to it is added."""
        self._places = SpawnPlaces(through)
        self._foreign: dict[int, TaskRecord] = {}
        """Tasks created by the task factory that was there before the ledger, by serial."""
        self._live: set[TaskRef] | None = None if registry.asyncio_refs() is not None else set()
        """Weak references to the ledger's own tasks, on Pythons where asyncio keeps no set of them."""
        # Bound once and shared by all weak references: a bound method of its own takes 72 bytes each.
        self._discard_ref = None if self._live is None else self._live.discard
        self._untracked = registry.UntrackedCounter()
        self._earlier: weakref.WeakSet[AnyTask] = weakref.WeakSet()
        """Tasks that the loop had before the ledger was installed."""
        self.turns = ReaderTurns()
        """How readers in other threads let the loop run."""
        self._previous: Any = None
        self._factory: Any = None
        self._depth = 0

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Record every task that ``loop`` creates from now on. Call it in the loop's thread.

        If the loop has a task factory already, that factory keeps creating the tasks, and the ledger
        records them. Cost: 1-3 us, in one step, for each task that exists already.
        Raises RuntimeError when this ledger is installed already.
        """
        if self._factory is not None:
            raise RuntimeError("this ledger is installed already; one ledger serves one loop")
        self.loop = self.turns.loop = loop
        self.failure = None
        self._earlier = weakref.WeakSet(asyncio.all_tasks(loop))
        self._places.note_runner(asyncio.current_task(loop))
        self._previous = loop.get_task_factory()
        # Frames between _caller() and the caller of loop.create_task(). uvloop's create_task() is
        # compiled and has no frame.
        plain = getattr(type(loop), "create_task", None) is asyncio.BaseEventLoop.create_task
        self._depth = 3 if plain else 2
        self._factory = self._spawn if self._previous is None else self._spawn_chained
        if self.spawn_stacks:
            self._depth += 1
            self._factory = self._spawn_with_stack
        loop.set_task_factory(self._factory)

    def uninstall(self) -> None:
        """Restore the earlier task factory. Tasks recorded so far are still followed to their end.

        If another factory was chained in front of the ledger meanwhile, it stays, and the ledger's
        factory creates plain tasks for it.
        """
        factory, self._factory = self._factory, None
        if factory is not None and self.loop and self.loop.get_task_factory() is factory:
            self.loop.set_task_factory(self._previous)

    @property
    def installed(self) -> bool:
        return self._factory is not None

    def sites(self) -> list[Site]:
        """Every spawn location seen so far, and ``other``. From any thread."""
        return [*list(self._sites.values()), self.other]

    def incomplete(self) -> list[str]:
        """Reasons why the ledger may not see all tasks, one sentence each; empty if its checks passed
        (self_check.py). From any thread."""
        stopped = [] if self.failure is None else [f"stopped recording tasks: {self.failure}"]
        return stopped + self.check.problems()

    def holds(self, task: AnyTask) -> bool:
        """Whether a scan of the live tasks would find this one. Cost: O(1)."""
        refs = registry.asyncio_refs() if self._live is None else self._live
        info = info_of(task, self)
        if isinstance(info, TaskRecord):
            return info.serial in self._foreign
        return refs is not None and _ref(task) in refs

    def refs(self, found: list[TaskRef] | None = None) -> list[TaskRef]:
        """Weak references to the ledger's tasks, possibly among others. From any thread.

        ``found``: the list to add them to, instead of a new one (see long_lists.py).
        Cost: one uninterrupted step, 10-16 ms for a million tasks.
        """
        found = [] if found is None else found
        found += (registry.asyncio_refs() or ()) if self._live is None else self._live
        return found

    def untracked(self, scan: LiveTaskScan) -> int:
        """How many live tasks of the loop the ledger did not record: created before it, or around it.

        ``scan``: one that has been iterated to its end. From any thread. Cost: see
        ``registry.UntrackedCounter.count``.
        """
        if self._live is None or self.loop is None:
            return scan.untracked
        return self._untracked.count(self.loop, scan.live, self.is_tracked)

    def untracked_sample(self, scan: LiveTaskScan) -> list[AnyTask]:
        """Some of the live tasks that were created around this ledger since it was installed.

        Call ``untracked`` with the same ``scan`` first. From any thread.
        """
        refs = scan.sample if self._live is None else self._untracked.sample
        return [
            task
            for ref in refs
            if (task := ref()) is not None and not task.done() and task not in self._earlier
        ]

    def earlier(self) -> int:
        """How many of the live tasks existed before the ledger was installed. From any thread."""
        return sum(not task.done() for task in self._earlier)

    def earlier_refs(self) -> list[TaskRef]:
        """Weak references to tasks that existed before the ledger was installed. From any thread."""
        return list(self._earlier.data)  # type: ignore[attr-defined]

    def is_tracked(self, task: AnyTask) -> bool:
        """Whether the ledger has recorded the task, or is about to. Cost: 0.1 us for its own tasks."""
        # Another thread can see a task in the moment before the factory has set its site.
        is_new = type(task) is LedgerTask and getattr(task, "site", None) is None
        return is_new or info_of(task, self) is not None

    def foreign(self) -> list[TaskRecord]:
        """Tasks that another task factory created. From any thread."""
        return list(self._foreign.values())

    def settle(self) -> None:
        """Record the end of tasks that have ended and that the program still holds.

        From any thread. Cost: 0.3 us per live task.
        """
        for _ in LiveTaskScan(self):
            pass

    def records(self) -> list[TaskRecord]:
        """The live tasks, oldest first. From any thread.

        Cost: 1 us per task, in slices, and a record of 130 bytes each: for tests and small programs.
        """
        found = [to_record(each) for _, some in LiveTaskScan(self) for each in some]
        return sorted(found, key=lambda each: each.serial)

    def find(self, serial: int) -> TaskRecord | None:
        """The live task with this serial number. From any thread. Cost: 0.2 us per live task."""
        return self.find_all({serial}).get(serial)

    def find_all(self, serials: Collection[int]) -> dict[int, TaskRecord]:
        """The live tasks with these serial numbers. From any thread. Cost: 0.2 us per live task."""
        wanted, found = set(serials), dict[int, TaskRecord]()
        for _, some in LiveTaskScan(self):
            if len(found) == len(wanted):
                break
            if not wanted.isdisjoint([each.serial for each in some]):
                found |= {each.serial: to_record(each) for each in some if each.serial in wanted}
        return found

    def record_of(self, task: AnyTask | None) -> TaskRecord | None:
        """The record of a task; None if this ledger did not record it. From any thread."""
        info = info_of(task, self)
        return None if info is None else to_record(info)

    def _spawn(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> AnyTask:
        """The task factory."""
        if self._factory is None:
            return _plain(loop, coro, kwargs)
        try:  # the same as _caller(), inlined: a call here is paid for by every spawn
            frame = sys._getframe(self._depth - 1)  # noqa: SLF001
            code = frame.f_code
            if code is _CREATE_TASK:
                frame = sys._getframe(self._depth)  # noqa: SLF001
                code = frame.f_code
            site = self._sites.get(id(code) + frame.f_lasti) or self._find_site(frame)
        except Exception as error:  # noqa: BLE001
            self.give_up(error)
            return _plain(loop, coro, kwargs)
        task = LedgerTask(coro, loop=loop, **kwargs)
        # In asyncio's debug mode: drop the ledger's own frames from the traceback of the creation.
        if task._source_traceback:  # type: ignore[attr-defined]  # noqa: SLF001
            del task._source_traceback[-2:]  # type: ignore[attr-defined]  # noqa: SLF001
        task.serial = next(_serials)
        task.created_at = time.monotonic()
        task.context = _current_context.get()
        spawner = _current_task(loop)
        try:
            task.parent = spawner.serial if type(spawner) is LedgerTask else None
        except AttributeError:  # the spawner runs eagerly, in its first step, and has no serial yet
            task.parent = None
        task.open = True
        task.site = site  # set last: to other threads, a task with a site is completely recorded
        if (live := self._live) is not None:
            live.add(_ref(task, self._discard_ref))
        site.spawned += 1
        return task

    def _spawn_chained(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        """The task factory when another one creates the tasks: a done callback records the end of each."""
        task = self._previous(loop, coro, **kwargs)
        # A factory may return anything. What is not a task cannot be followed, so it is left alone.
        if self._factory is not None and isinstance(task, asyncio.Task):
            try:
                self._record_foreign(task, self._caller(), _current_task(loop))
            except Exception as error:  # noqa: BLE001
                self.give_up(error)
        return task

    def _record_foreign(self, task: AnyTask, site: Site, spawner: AnyTask | None) -> None:
        made = TaskRecord(task, self._foreign_freed)
        made.serial = serial = next(_serials)
        made.created_at = time.monotonic()
        made.context = _current_context.get()
        by = info_of(spawner, self)
        made.parent = None if by is None else by.serial
        made.open = True
        made.site = site
        site.spawned += 1
        self._foreign[serial] = made
        # A task of another class has no ``__del__`` of ours, so a callback must record its end.
        task.add_done_callback(made.end)

    def _foreign_freed(self, gone: weakref.ref[AnyTask]) -> None:
        """Another factory's task was freed. If its end was not recorded, it was destroyed pending."""
        assert isinstance(gone, TaskRecord)  # noqa: S101
        self._foreign.pop(gone.serial, None)
        if gone.open:
            gone.open = False
            gone.site.destroyed += 1

    def _caller(self) -> Site:
        """The site of the code that called ``create_task``."""
        frame = sys._getframe(self._depth)  # noqa: SLF001
        code = frame.f_code
        if code is _CREATE_TASK:
            frame = sys._getframe(self._depth + 1)  # noqa: SLF001
            code = frame.f_code
        return self._sites.get(id(code) + frame.f_lasti) or self._find_site(frame)

    def _find_site(self, frame: FrameType) -> Site:
        """The site of the first caller outside asyncio. Slow: used once per spawn location, and for
        callers within asyncio (a TaskGroup, for example) or a library."""
        frame, caller, is_direct = self._places.find(frame)
        if frame.f_code.co_filename == PROBES:
            return self.check.site
        place = id(frame.f_code) + frame.f_lasti
        called_by = 0 if caller is None else id(caller.f_code) + caller.f_lasti
        key = place if is_direct else (place, called_by)
        site = self._sites.get(key)
        if site is None:
            if len(self._sites) >= MAX_SITES:
                return self.other
            by = None if caller is None else (caller.f_code, caller.f_lasti)
            site = self._sites[key] = Site(self, frame.f_code, frame.f_lasti, caller=by)
        return site

    def _spawn_with_stack(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        """The task factory that keeps spawn stacks: one of the other two, and then the frames."""
        plain = self._previous is None
        task: Any = (self._spawn if plain else self._spawn_chained)(loop, coro, **kwargs)
        if plain and getattr(task, "_source_traceback", None):
            del task._source_traceback[-1:]  # noqa: SLF001 - this function is one frame more
        if (info := info_of(task, self)) is not None:
            info.spawned_by = self._frames(sys._getframe(1))  # noqa: SLF001
        return task

    def _frames(self, frame: FrameType | None) -> Frames:
        """The frames that led to a spawn, from the first one outside asyncio out to the loop."""
        found: list[tuple[CodeType, int]] = []
        while frame is not None and len(found) < self.spawn_stacks:
            if found or not is_between(frame.f_code):
                found.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
            if frame is not None and frame.f_code is HANDLE_RUN:
                break
        return tuple(found)

    def note_failure(self, site: Site, serial: int, error: BaseException) -> None:
        """Count a task that ended with an exception."""
        self.failures.note(site, serial, error)

    def give_up(self, error: Exception) -> None:
        """Stop recording after an error in the ledger itself, and log it once.

        The program must not fail because it is observed.
        """
        if self.failure is not None:
            return
        self.failure = f"{type(error).__name__}: {error}"
        self.uninstall()
        log.error(
            "the task ledger failed and has uninstalled itself; the program goes on without it: %s",
            self.failure,
            exc_info=error,
        )


def _plain(loop: asyncio.AbstractEventLoop, coro: Any, kwargs: dict[str, Any]) -> AnyTask:
    return asyncio.Task(coro, loop=loop, **kwargs)
